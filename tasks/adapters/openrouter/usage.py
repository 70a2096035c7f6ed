"""What an answer says it used and cost."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from models.completion import Usage
from models.money import ZERO_USD, round_up_usd

CALL_USD_MAX = Decimal(10_000)  # no single call costs this much: it is an error of the upstream
TOKENS_MAX = 10**9
DECIMAL_TEXT = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,4})?", re.ASCII)


class UnusableUsage(ValueError):
    """Usage is stated, but cannot be true: the cost has to be asked for (`GET /generation`)."""


def usage_from(stated: object) -> Usage | None:
    """Return the usage of an answer; None when it is absent or says neither tokens nor cost.

    An explicit zero is zero. `cost_usd` is None only when no cost is stated at all. Raises
    UnusableUsage for negative, infinite, absurd or mistyped tokens and costs.
    """
    if stated is None:
        return None
    if not isinstance(stated, dict):
        raise UnusableUsage("usage is not an object")
    cost_usd = _spend_usd(stated)
    prompt_tokens = _count(stated, "prompt_tokens")
    completion_tokens = _count(stated, "completion_tokens")
    if cost_usd is None and (prompt_tokens is None or completion_tokens is None):
        return None
    prompt_details = _details(stated, "prompt_tokens_details")
    completion_details = _details(stated, "completion_tokens_details")
    cached_tokens = min(_count(prompt_details, "cached_tokens") or 0, prompt_tokens or 0)
    written_tokens = _count(prompt_details, "cache_write_tokens") or 0
    return Usage(
        prompt_tokens=prompt_tokens or 0,
        completion_tokens=completion_tokens or 0,
        cached_tokens=cached_tokens,  # cut to the prompt, which includes them: never a discount
        cache_write_tokens=min(written_tokens, (prompt_tokens or 0) - cached_tokens),
        reasoning_tokens=_count(completion_details, "reasoning_tokens") or 0,
        cost_usd=cost_usd,
        is_byok=stated.get("is_byok") is True,
    )


def stated_usd(value: object) -> Decimal | None:
    """Return a stated amount rounded up to 12 decimals; None for null.

    Takes JSON numbers and decimal strings. Raises UnusableUsage for what no bill can be.
    """
    if value is None:
        return None
    if isinstance(value, str) and DECIMAL_TEXT.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise UnusableUsage("a cost is not a number")
    amount = Decimal(value)
    if not amount.is_finite() or not ZERO_USD <= amount <= CALL_USD_MAX:
        raise UnusableUsage("a cost is negative or beyond all bounds")
    return abs(round_up_usd(amount))  # abs: no negative zero


def _spend_usd(stated: dict[str, Any]) -> Decimal | None:
    """Return the true spend: with the caller's own provider key, fee and provider's bill."""
    cost_usd = stated_usd(stated.get("cost"))
    if cost_usd is None or stated.get("is_byok") is not True:
        return cost_usd
    upstream_usd = stated_usd(_details(stated, "cost_details").get("upstream_inference_cost"))
    if upstream_usd is None:
        raise UnusableUsage("a call on an own provider key states no upstream cost")
    return cost_usd + upstream_usd


def _count(stated: dict[str, Any], name: str) -> int | None:
    value = stated.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise UnusableUsage(f"{name} is not a number")
    if not 0 <= value <= TOKENS_MAX or value != int(value):
        raise UnusableUsage(f"{name} is not a count")
    return int(value)


def _details(stated: dict[str, Any], name: str) -> dict[str, Any]:
    value = stated.get(name)
    return value if isinstance(value, dict) else {}
