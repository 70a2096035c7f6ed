"""A provider's asynchronous batch: its end, and what each of its items cost.

The official SDK's models (`openrouter` 1.3.84) state tokens for each item and the cost of the
whole batch. What an item states itself wins; what is left is shared by list price, because all
items have one model and one discount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal

from models.completion import Completion
from models.errors import NotBatched, OutcomeUnknown, UpstreamFailed
from models.money import ZERO_USD
from models.pricing import TokenPrice, cost_usd

OVER = frozenset({"completed", "failed", "expired", "cancelled"})
SMALLEST_USD = Decimal("1e-12")
NOISE_USD = Decimal("1e-9")  # sums of an upstream that counts in floats


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one item: an answer or a failure, which may have an answer of its own."""

    custom_id: str
    completion: Completion | None
    failure: UpstreamFailed | None = None


@dataclass(frozen=True, slots=True)
class UpstreamBatch:
    """A batch as the upstream shows it; `cost_usd` is the bill of all its items, None unstated.

    `results` are there once it is over. A status that is not known yet counts as under way.
    """

    upstream_id: str
    status: str
    cost_usd: Decimal | None = None
    completed: int | None = None
    error: str | None = None
    results: tuple[BatchResult, ...] = ()

    @property
    def is_over(self) -> bool:
        """Say whether no result will follow."""
        return self.status in OVER


def priced_results(batch: UpstreamBatch, price: TokenPrice) -> UpstreamBatch:
    """Return the batch with a cost for each answer, where the upstream stated enough.

    An answer without a cost gets its share of what the others leave of the batch's bill. Worked: a
    bill of 0.9 for list prices of 1.0 and 0.8, nothing stated: 0.5 and 0.4.
    """
    unpriced = [one for one in batch.results if _lacks_cost(one)]
    if batch.cost_usd is None or not unpriced:
        return batch
    left_usd = max(ZERO_USD, batch.cost_usd - _stated_usd(batch.results))
    shares = shares_usd(left_usd, [_list_usd(one, price) for one in unpriced])
    costs = {one.custom_id: cost for one, cost in zip(unpriced, shares, strict=True)}
    return replace(
        batch, results=tuple(_with_cost(one, costs.get(one.custom_id)) for one in batch.results)
    )


def shares_usd(total_usd: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Share an amount by weights, to 12 decimals; the last share takes the rest, so none is lost.

    Equal shares where no weight says anything.
    """
    whole = sum(weights, start=ZERO_USD)
    parts = weights if whole > 0 else [Decimal(1)] * len(weights)
    whole = whole if whole > 0 else Decimal(len(weights))
    shares = [
        (total_usd * part / whole).quantize(SMALLEST_USD, rounding=ROUND_DOWN)
        for part in parts[:-1]
    ]
    return [*shares, total_usd - sum(shares, start=ZERO_USD)]


def is_accounted_for(batch: UpstreamBatch) -> bool:
    """Say whether what has no answer was certainly not billed.

    True where the stated bill is used up by the answers, and for a batch that ended without a
    bill, a result or a completed request.
    """
    if batch.cost_usd is None:
        return not batch.results and batch.completed == 0
    if any(_lacks_cost(one) for one in batch.results):
        return False
    return batch.cost_usd - _stated_usd(batch.results) < NOISE_USD


def failure_without_answer(batch: UpstreamBatch, result: BatchResult | None) -> UpstreamFailed:
    """Return the failure of an item that has no answer; it says whether it may be billed."""
    stated = None if result is None else result.failure
    if stated is None:
        reason = batch.error or "no result for this line"
        words = f"the upstream batch ended as {batch.status}: {reason}"
        stated = OutcomeUnknown(words)
    if is_accounted_for(batch):
        return NotBatched(stated.message, stated.status, retry_after_s=0.0)
    return stated


def _lacks_cost(one: BatchResult) -> bool:
    usage = None if one.completion is None else one.completion.usage
    return usage is not None and usage.cost_usd is None


def _stated_usd(results: Sequence[BatchResult]) -> Decimal:
    usages = [one.completion.usage for one in results if one.completion is not None]
    return sum((one.cost_usd for one in usages if one and one.cost_usd), start=ZERO_USD)


def _list_usd(one: BatchResult, price: TokenPrice) -> Decimal:
    usage = None if one.completion is None else one.completion.usage
    return ZERO_USD if usage is None else cost_usd(price, usage)


def _with_cost(one: BatchResult, cost: Decimal | None) -> BatchResult:
    if cost is None or one.completion is None or one.completion.usage is None:
        return one
    usage = replace(one.completion.usage, cost_usd=cost)
    completion = replace(one.completion, usage=usage)
    if one.failure is not None:  # a failed answer with a bill
        one.failure.completion = completion
    return replace(one, completion=completion)
