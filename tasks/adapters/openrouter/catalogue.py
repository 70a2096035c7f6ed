"""The upstream's model list: prices, context lengths and abilities, as model cards."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from models.money import ZERO_USD
from models.pricing import ModelCard, TokenPrice
from tasks.adapters.openrouter.strict_json import MalformedJson
from tasks.adapters.openrouter.usage import UnusableUsage, stated_usd

LOG = logging.getLogger(__name__)
SOURCE = "openrouter"
MODEL_ID_CHARS_MAX = 200
EXPIRES_SOON = timedelta(days=1)
ABILITIES = frozenset(
    {
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "structured_outputs",
        "reasoning",
        "logprobs",
    }
)
MODALITIES = frozenset({"image", "audio", "file", "video"})


def cards_from(document: Mapping[str, Any], *, now: datetime) -> list[ModelCard]:
    """Return one card a model, in the list's order; raises MalformedJson without a list.

    A price that is missing, negative ("-1": decided at request time) or unreadable makes the
    card's `price` None. Entries without a usable id are left out and counted in the log.
    """
    data = document.get("data")
    if not isinstance(data, list):
        raise MalformedJson("there is no list of models")
    entries = {
        entry["id"]: entry for entry in data if isinstance(entry, Mapping) and _has_id(entry)
    }
    if len(entries) < len(data):
        LOG.warning(
            "%d of %d models left out: no id of their own", len(data) - len(entries), len(data)
        )
    return [_card(model_id, entry, now) for model_id, entry in entries.items()]


def _has_id(entry: Mapping[str, Any]) -> bool:
    model_id = entry.get("id")
    return (
        isinstance(model_id, str)
        and 0 < len(model_id) <= MODEL_ID_CHARS_MAX
        and model_id.isprintable()
    )


def _card(model_id: str, entry: Mapping[str, Any], now: datetime) -> ModelCard:
    top, limits = _part(entry, "top_provider"), _part(entry, "per_request_limits")
    return ModelCard(
        model_id=model_id,
        provider=model_id.removeprefix("~").partition("/")[0],
        price=price_from(_part(entry, "pricing")),
        context_tokens=_least(entry.get("context_length"), top.get("context_length")),
        completion_tokens_max=_least(
            top.get("max_completion_tokens"), limits.get("completion_tokens")
        ),
        abilities=_abilities(entry),
        source=SOURCE,
        priced_at=now,
        suspended_reason=_suspended_reason(entry, now),
    )


def price_from(pricing: Mapping[str, Any]) -> TokenPrice | None:
    """Return the highest price that a request may meet, or None when a part is unknown.

    `overrides` replace prices for long prompts or hours of the day; the dearest of base and
    overrides counts, so that a hold is a bound. Reasoning tokens are part of the completion.
    """
    try:
        prompt_usd, completion_usd = _highest(pricing, "prompt"), _highest(pricing, "completion")
        if prompt_usd is None or completion_usd is None:
            return None
        return TokenPrice(
            prompt_usd=prompt_usd,
            completion_usd=max(completion_usd, _highest(pricing, "internal_reasoning") or ZERO_USD),
            cache_read_usd=_highest(pricing, "input_cache_read"),
            cache_write_usd=_highest(pricing, "input_cache_write"),
            request_usd=_highest(pricing, "request") or ZERO_USD,
            image_usd=_highest(pricing, "image") or ZERO_USD,
        )
    except UnusableUsage:
        return None


def _highest(pricing: Mapping[str, Any], name: str) -> Decimal | None:
    overrides = pricing.get("overrides")
    tiers = (
        [tier for tier in overrides if isinstance(tier, Mapping)]
        if isinstance(overrides, list)
        else []
    )
    stated = [stated_usd(tier.get(name)) for tier in (pricing, *tiers)]
    return max((price for price in stated if price is not None), default=None)


def _abilities(entry: Mapping[str, Any]) -> frozenset[str]:
    parameters = _texts(entry.get("supported_parameters"))
    inputs = _texts(_part(entry, "architecture").get("input_modalities"))
    return (parameters & ABILITIES) | (inputs & MODALITIES)


def _suspended_reason(entry: Mapping[str, Any], now: datetime) -> str | None:
    outputs = _texts(_part(entry, "architecture").get("output_modalities"))
    if outputs and "text" not in outputs:
        return f"answers with {', '.join(sorted(outputs))}, not with text"
    expires_at = _moment(entry.get("expiration_date"))
    if expires_at is not None and expires_at - now <= EXPIRES_SOON:
        return f"expires on {expires_at:%Y-%m-%d}"
    return None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _least(*values: object) -> int | None:
    counts = [n for n in values if isinstance(n, int) and not isinstance(n, bool) and n > 0]
    return min(counts, default=None)


def _texts(value: object) -> frozenset[str]:
    items = value if isinstance(value, list) else []
    return frozenset(item for item in items if isinstance(item, str))


def _part(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = entry.get(name)
    return value if isinstance(value, Mapping) else {}
