"""Requests that mark parts of their prompt for the provider's cache."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from models.features import request_features
from models.pricing import ModelCard, worst_case_usd
from models.prompt_caching import priced_for_long_cache
from models.request import RoutingRequest
from tests.models.builders import card_of

HOUR, MINUTES = {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}


def part(control: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": "a long text", "cache_control": control}


def tool(control: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f"}, "cache_control": control}


@pytest.mark.parametrize(
    ("fields", "long"),
    [
        ({"prompt": "x"}, False),
        ({"prompt": "x", "extra_body": {"cache_control": MINUTES}}, False),
        ({"prompt": "x", "extra_body": {"cache_control": HOUR}}, True),
        ({"prompt": "x", "extra_body": {"cache_control": HOUR | {"ttl": "5m"}}}, False),
        ({"messages": [{"role": "user", "content": [part(MINUTES)]}]}, False),
        ({"messages": [{"role": "user", "content": [part(MINUTES), part(HOUR)]}]}, True),
        ({"messages": [{"role": "tool", "content": "x", "cache_control": HOUR}]}, True),
        ({"prompt": "x", "tools": [tool(HOUR)]}, True),
        ({"prompt": "x", "extra_body": {"cache_control": "odd"}}, False),
    ],
)
def test_long_cache_is_found_wherever_it_is_asked_for(fields: dict[str, Any], long: bool) -> None:
    assert request_features(RoutingRequest.model_validate(fields)).long_cache is long


def with_write(card: ModelCard, usd: str) -> ModelCard:
    assert card.price is not None
    return replace(card, price=replace(card.price, cache_write_usd=Decimal(usd)))


def test_hold_of_a_long_cache_counts_every_prompt_token_twice() -> None:
    card = with_write(card_of("a/b", "3", "15"), "0.00000375")
    dear = priced_for_long_cache(card)
    assert card.price is not None and dear.price is not None
    # 1,000 tokens: 1000 * 3.75e-6 for five minutes, 1000 * 2 * 3e-6 for an hour
    bounds = [
        worst_case_usd(price, prompt_tokens=1000, completion_tokens=0)
        for price in (card.price, dear.price)
    ]
    assert bounds == [Decimal("0.00375"), Decimal("0.006")]


def test_model_that_sells_no_cache_writes_costs_no_more() -> None:
    assert priced_for_long_cache(card_of("a/b")) == card_of("a/b")
