"""What a refused request means: the failure table of docs/design.md, in one place.

Facts and example bodies: openrouter.ai/docs, errors and limits, 2026-08-22 and autumn 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from models.errors import (
    AccessDenied,
    AccountLimited,
    AccountOutOfMoney,
    Busy,
    InFlightLimited,
    ModelUnsuitable,
    OutcomeUnknown,
    RequestRejected,
    TooExpensive,
    UpstreamFailed,
)
from tasks.adapters.openrouter.error_body import ErrorBody
from tasks.adapters.openrouter.limits import (
    reset_after_s,
    retry_after_s,
    stated_limit,
    states_own_limit,
)

BUDGET_SOURCES = frozenset(
    {
        "openrouter_credits",
        "openrouter_key_limit",
        "openrouter_guardrail_budget",
        "openrouter_workspace_budget",
    }
)
MODEL_CODES = frozenset(  # of `error.availability`: another model may do
    {
        "model_not_found",
        "wrong_endpoint",
        "no_endpoints",
        "model_deprecated",
        "model_unavailable_upstream",
        "region_restricted",
        "privacy_restricted",
        "constraint_filtered",
        "free_variant_ended",
    }
)
CONTEXT_TYPES = frozenset(
    {"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded"}
)
MODERATION_TYPES = frozenset({"content_policy_violation", "refusal"})
SMALLER_TEXT = re.compile(r"can only afford|fewer max_tokens|prompt tokens limit exceeded", re.I)
BUDGET_TEXT = re.compile(
    r"(key|budget|spend(ing)?|credit) limit exceeded|insufficient credits", re.I
)
OWN_LIMIT_TEXT = re.compile(r"rate limit exceeded: |free-models-per-", re.I)
MODEL_TEXT = re.compile(
    r"not a valid model|invalid model"
    r"|model\b.{0,200}\b(not found|not exist|not available|decommissioned)"
    r"|no (allowed )?(models|endpoints|providers)"
    r"|context (length|window|size)|context_length|maximum (prompt|input) length|too many tokens"
    r"|prompt is too long|(does|do) not support|doesn't support|not supported",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with an error status: `headers` has lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: ErrorBody

    def says(self, pattern: re.Pattern[str]) -> bool:
        """Whether the upstream's words match the pattern."""
        return pattern.search(self.body.text) is not None


def _one_of(*statuses: int) -> Callable[[Refusal], bool]:
    return lambda refusal: refusal.status in statuses


def _money(refusal: Refusal) -> bool:
    return refusal.status in (402, 403, 429)


def _weighs_too_much(refusal: Refusal) -> bool:
    reason = refusal.body.reason
    return refusal.status == 402 and (
        reason == "weight_exceeds_budget" or refusal.says(SMALLER_TEXT)
    )


def _is_in_flight(refusal: Refusal) -> bool:
    body = refusal.body
    return _money(refusal) and (
        body.limit_source == "openrouter_in_flight_budget"
        or body.reason == "in_flight_budget_exhausted"
    )


def _waits_without_source(refusal: Refusal) -> bool:
    """A 402 that names a time to wait and no limit: only the in-flight budget passes by itself."""
    return (
        refusal.status == 402
        and refusal.body.limit_source is None
        and "retry-after" in refusal.headers
    )


def _budget_is_spent(refusal: Refusal) -> bool:
    body = refusal.body
    if refusal.status == 429:
        return body.limit_source == "openrouter_credits" or "insufficient_quota" in body.kinds
    return refusal.status == 402 or (
        refusal.status == 403
        and (body.limit_source in BUDGET_SOURCES or body.has_limit or refusal.says(BUDGET_TEXT))
    )


def _is_pool_limit(refusal: Refusal) -> bool:
    body = refusal.body
    return refusal.status == 429 and (
        body.limit_source == "upstream_provider_shared_pool"
        or body.availability == "capacity_exhausted"
    )


def _is_own_limit(refusal: Refusal) -> bool:
    """The account's or the key's own limit; admission control passes like a busy pool."""
    source = refusal.body.limit_source or ""
    if refusal.status != 429 or source == "openrouter_admission_control":
        return False
    headers = {**refusal.body.headers, **refusal.headers}
    own_source = source.startswith("openrouter_")
    return own_source or states_own_limit(headers) or refusal.says(OWN_LIMIT_TEXT)


def _is_moderation(refusal: Refusal) -> bool:
    return refusal.status == 400 and bool(refusal.body.kinds & MODERATION_TYPES)


def _is_the_model(refusal: Refusal) -> bool:
    body = refusal.body
    if refusal.status == 404:
        return body.is_api_error
    if refusal.status not in (400, 403, 413, 422):
        return False
    if body.availability in MODEL_CODES or body.kinds & CONTEXT_TYPES:
        return True
    return refusal.status != 403 and refusal.says(MODEL_TEXT)


def _is_refused(refusal: Refusal) -> bool:
    return 300 <= refusal.status < 500 and refusal.status != 408


# The most specific row first; the first that fits decides. What fits none may be billed.
TABLE: tuple[tuple[Callable[[Refusal], bool], type[UpstreamFailed]], ...] = (
    (_weighs_too_much, TooExpensive),
    (_is_in_flight, InFlightLimited),
    (_waits_without_source, InFlightLimited),
    (_is_pool_limit, Busy),
    (_budget_is_spent, AccountOutOfMoney),
    (_is_own_limit, AccountLimited),
    (_one_of(429, 503, 529), Busy),
    (_is_moderation, AccessDenied),
    (_is_the_model, ModelUnsuitable),
    (_one_of(401, 403), AccessDenied),
    (_is_refused, RequestRejected),
)


def failure_of(
    refusal: Refusal, *, now: datetime, generation_id: str | None, wording: Callable[[str], str]
) -> UpstreamFailed:
    """Return the typed error of an answer whose status is not 2xx."""
    leaf = next((leaf for fits, leaf in TABLE if fits(refusal)), OutcomeUnknown)
    failure = leaf(
        wording(_words(refusal)),
        status=refusal.status,
        retry_after_s=wait_of(refusal, now=now),
        generation_id=generation_id,
    )
    failure.stated_limit = stated_limit({**refusal.body.headers, **refusal.headers}, now=now)
    return failure


def wait_of(refusal: Refusal, *, now: datetime) -> float | None:
    """Return how long to wait: Retry-After, else the body's word, else the limit's reset."""
    stated = retry_after_s(refusal.headers.get("retry-after"), now=now)
    if stated is None:
        stated = retry_after_s(refusal.body.retry_after, now=now)
    if stated is None:
        headers = {**refusal.body.headers, **refusal.headers}
        stated = reset_after_s(headers.get("x-ratelimit-reset"), now=now)
    return stated


def _words(refusal: Refusal) -> str:
    if 300 <= refusal.status < 400:
        return "the upstream redirects, which is not followed: check the base URL"
    if refusal.body.text:
        return refusal.body.text
    if refusal.status in (404, 405):
        return "nothing is served at this address: check the base URL"
    return "the upstream gave no reason"
