"""What a plan will probably cost, by how much it may overrun, and when a person is asked."""

from __future__ import annotations

from decimal import Decimal

from models.attempt import Candidate
from models.fit import Demand
from models.money import ZERO_USD, round_up_usd
from models.snapshot import Snapshot

# Without statistics an answer is taken to be a quarter of what is allowed, 500 tokens at most.
ANSWER_SHARE, ANSWER_TOKENS = 4, 500


def approval_limit(snapshot: Snapshot) -> Decimal | None:
    """Return the stricter of the request's and the policy's limit."""
    asked, limit = snapshot.features.approval_above_usd, snapshot.policy.approval_above_usd
    if asked is None or limit is None:
        return limit if asked is None else asked
    return min(asked, limit)


def expected_usd(snapshot: Snapshot, one: Demand, candidate: Candidate) -> Decimal:
    """Return what the attempt will probably cost; never more than its worst case."""
    known = one.statistics.completion_tokens_avg if one.statistics is not None else None
    tokens = min(ANSWER_TOKENS, candidate.max_tokens // ANSWER_SHARE) if known is None else known
    images = one.prompt_tokens - snapshot.features.text_tokens_bound
    price = candidate.price
    expected = round_up_usd(
        price.prompt_usd * (snapshot.features.text_tokens_estimate + images)
        + price.completion_usd * tokens * one.asked.answers
        + price.request_usd
        + price.image_usd * one.asked.images
    )
    return min(expected, candidate.worst_case_usd)


def overshoot_usd(one: Demand, candidate: Candidate) -> Decimal:
    """Return the most by which the attempt's bill may exceed what an elastic budget holds."""
    if candidate.elastic_usd is candidate.worst_case_usd:
        return ZERO_USD
    if all(room.mode != "elastic" for room in one.budgets):
        return ZERO_USD
    return candidate.worst_case_usd - candidate.elastic_usd
