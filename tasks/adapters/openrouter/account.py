"""What the upstream's books say: past generations, the key's spending, the account's credits."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from models.completion import Credits, GenerationRecord, KeySpend
from models.money import round_up_usd
from tasks.adapters.openrouter.strict_json import MalformedJson, mended
from tasks.adapters.openrouter.usage import UnusableUsage, stated_usd

ACCOUNT_USD_MAX = Decimal(10**9)


def generation_from(document: Mapping[str, Any], generation_id: str) -> GenerationRecord | None:
    """Return a past generation; None while its cost is not known yet.

    `cost_usd` is the true spend: with the caller's own provider key, fee and provider's bill.
    Raises MalformedJson when the record is not to be trusted.
    """
    data = _data(document)
    try:
        cost_usd = stated_usd(data.get("total_cost"))
        upstream_usd = stated_usd(data.get("upstream_inference_cost"))
    except UnusableUsage as error:
        raise MalformedJson(str(error)) from error
    is_byok = data.get("is_byok") is True
    if cost_usd is None or (is_byok and upstream_usd is None):
        return None
    if is_byok and upstream_usd is not None:
        cost_usd += upstream_usd
    return GenerationRecord(
        generation_id=generation_id,
        cost_usd=cost_usd,
        prompt_tokens=_tokens(data, "native_tokens_prompt", "tokens_prompt"),
        completion_tokens=_tokens(data, "native_tokens_completion", "tokens_completion"),
        provider=_text(data.get("provider_name")),
        cancelled=data.get("cancelled") is True,
        finish_reason=_text(data.get("finish_reason")),
    )


def key_spend_from(document: Mapping[str, Any]) -> KeySpend:
    """Return what the key has spent; raises MalformedJson for a missing or unusable amount."""
    data = _data(document)
    remaining = data.get("limit_remaining")
    return KeySpend(
        usage_usd=_usd(data.get("usage")),
        usage_daily_usd=_usd(data.get("usage_daily")),
        usage_weekly_usd=_usd(data.get("usage_weekly")),
        usage_monthly_usd=_usd(data.get("usage_monthly")),
        limit_remaining_usd=None if remaining is None else _signed_usd(remaining),
    )


def credits_from(document: Mapping[str, Any]) -> Credits:
    """Return the account's credits; raises MalformedJson for a missing or unusable amount."""
    data = _data(document)
    return Credits(
        total_usd=_usd(data.get("total_credits")), used_usd=_usd(data.get("total_usage"))
    )


def _data(document: Mapping[str, Any]) -> Mapping[str, Any]:
    data = document.get("data")
    if not isinstance(data, Mapping):
        raise MalformedJson("there is no data object")
    return data


def _usd(value: object) -> Decimal:
    amount = _signed_usd(value)
    if amount < 0:
        raise MalformedJson("an amount is negative")
    return abs(amount)


def _signed_usd(value: object) -> Decimal:
    """A limit's rest may be below zero, when a call cost more than was left."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise MalformedJson("an amount is not a number")
    amount = Decimal(value)
    if not amount.is_finite() or abs(amount) > ACCOUNT_USD_MAX:
        raise MalformedJson("an amount is beyond all bounds")
    return round_up_usd(amount)


def _tokens(data: Mapping[str, Any], *names: str) -> int | None:
    """Return the first count given: native ones are what is billed."""
    counts = (data.get(name) for name in names)
    return next(
        (n for n in counts if isinstance(n, int) and not isinstance(n, bool) and n >= 0), None
    )


def _text(value: object) -> str | None:
    return mended(value)[:200] if isinstance(value, str) and value else None
