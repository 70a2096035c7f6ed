"""Prices without a network, from the data of the library genai-prices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from models.money import round_up_usd
from models.pricing import MTOK, ModelCard, TokenPrice

SOURCE = "genai-prices"
PROVIDER = "openrouter"
FREE = ":free"
# The data says nothing of abilities. These are assumed, because a wrong guess costs nothing: the
# upstream refuses the request before it bills, and the next model is asked.
ASSUMED = frozenset({"tools", "tool_choice", "response_format", "structured_outputs"})
SEES_IMAGES = re.compile(r"anthropic/claude-|google/gemini-|openai/gpt-(4o|4\.1|5|6)")
UNKNOWN_DATE = datetime(1970, 1, 1, tzinfo=UTC)  # so old that no staleness rule accepts it


def offline_cards(model_ids: Iterable[str], now: datetime) -> list[ModelCard]:
    """Return one card a model id; `price` is None for ids that the data does not know.

    Prices are the highest tier, `priced_at` is the newest date in the data that has come.
    """
    return [_card(model_id, now) for model_id in model_ids]


def data_date(now: datetime) -> datetime:
    """Return the newest date on which a price of the data came into force, at most `now`."""
    past = [date for date in _start_dates() if date <= now]
    return max(past, default=UNKNOWN_DATE)


@cache  # 923 models, and the data of a process never changes
def _start_dates() -> tuple[datetime, ...]:
    return tuple(
        datetime.combine(price.constraint.start_date, datetime.min.time(), tzinfo=UTC)
        for model in _provider().models
        if isinstance(model.prices, list)
        for price in model.prices
        if isinstance(price.constraint, StartDateConstraint)
    )


def _provider() -> Provider:
    return next(provider for provider in get_snapshot().providers if provider.id == PROVIDER)


def _card(model_id: str, now: datetime) -> ModelCard:
    model = _found(model_id)
    sees = {"image"} if SEES_IMAGES.match(model_id) else set()
    return ModelCard(
        model_id=model_id,
        provider=model_id.partition("/")[0],
        price=None if model is None else _price(model, now, free=model_id.endswith(FREE)),
        context_tokens=None if model is None else model.context_window,
        completion_tokens_max=None,
        abilities=ASSUMED | sees,
        source=SOURCE,
        priced_at=data_date(now),
    )


def _found(model_id: str) -> ModelInfo | None:
    """Look the id up as it is, then without its variant (":nitro", ":floor"), which has no row."""
    for name in (model_id, model_id.partition(":")[0]):
        try:
            return get_snapshot().find_provider_model(name, None, PROVIDER, None)[1]
        except LookupError:
            continue
    return None


def _price(model: ModelInfo, now: datetime, *, free: bool) -> TokenPrice | None:
    prices = _prices_in_force(model, now)
    prompt_usd, completion_usd = _highest(prices, "input_mtok"), _highest(prices, "output_mtok")
    if prompt_usd is None or completion_usd is None:
        return TokenPrice(Decimal(0), Decimal(0)) if free else None
    request_kcount = _highest(prices, "requests_kcount", unit=Decimal(1000))
    return TokenPrice(
        prompt_usd=prompt_usd,
        completion_usd=completion_usd,
        cache_read_usd=_highest(prices, "cache_read_mtok"),
        cache_write_usd=_highest(prices, "cache_write_mtok"),
        request_usd=request_kcount or Decimal(0),
    )


def _prices_in_force(model: ModelInfo, now: datetime) -> list[ModelPrice]:
    """Return today's price and every price of another hour of the day."""
    if isinstance(model.prices, ModelPrice):
        return [model.prices]
    by_hour = [
        price.prices for price in model.prices if isinstance(price.constraint, TimeOfDateConstraint)
    ]
    return [model.get_prices(now), *by_hour]


def _highest(prices: list[ModelPrice], name: str, *, unit: Decimal = MTOK) -> Decimal | None:
    amounts: list[Decimal] = []
    for price in prices:
        stated = getattr(price, name)
        if isinstance(stated, TieredPrices):
            amounts += [stated.base, *(tier.price for tier in stated.tiers)]
        elif stated is not None:
            amounts.append(stated)
    return round_up_usd(max(amounts) / unit) if amounts else None
