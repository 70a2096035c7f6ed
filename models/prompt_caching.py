"""What a caller's `cache_control` does to the bound on a prompt's price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from models.pricing import ModelCard
from models.request import RoutingRequest

# Writing a cache that lives an hour costs twice the prompt, one that lives five minutes 1.25 times
# (platform.claude.com/docs, prompt caching, 2026-08); the catalogue knows the five minutes' price.
LONG_WRITE_FACTOR = Decimal(2)


def asks_long_cache(request: RoutingRequest) -> bool:
    """Say whether any part of the request wants a cache that lives longer than five minutes."""
    return any(_is_long(part.get("cache_control")) for part in _cacheable(request))


def _cacheable(request: RoutingRequest) -> Iterator[Mapping[str, Any]]:
    """Yield what may carry a `cache_control`: the request, its tools, messages and their parts."""
    yield request.extra_body
    yield from request.tools or ()
    for message in request.chat_messages():
        yield message
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))


def _is_long(control: object) -> bool:
    return isinstance(control, dict) and control.get("ttl") not in (None, "5m")


def priced_for_long_cache(card: ModelCard) -> ModelCard:
    """Return the card with the dearer price of long cache writes; unchanged where none are sold.

    Prompt 3 USD per million, cache write 3.75: a write for an hour is counted as 2 x 3 = 6.
    """
    price = card.price
    if price is None or price.cache_write_usd is None:
        return card
    long_usd = max(price.cache_write_usd, price.prompt_usd * LONG_WRITE_FACTOR)
    return replace(card, price=replace(price, cache_write_usd=long_usd))
