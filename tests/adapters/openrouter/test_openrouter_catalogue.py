"""The model list, prices without a network, and what the upstream's books say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from models.errors import AccessDenied, OutcomeUnknown
from tasks.adapters.openrouter.catalogue import cards_from
from tasks.adapters.openrouter.offline import UNKNOWN_DATE, data_date, offline_cards

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def model(model_id="openai/gpt-4o-mini", **changes):
    entry = {
        "id": model_id,
        "context_length": 128000,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "pricing": {"prompt": "0.00000015", "completion": "0.0000006", "request": "0"},
        "top_provider": {"context_length": 120000, "max_completion_tokens": 16384},
        "per_request_limits": None,
        "supported_parameters": ["tools", "temperature", "response_format", "structured_outputs"],
        "expiration_date": None,
    }
    return entry | changes


def card(**changes):
    (only,) = cards_from({"data": [model(**changes)]}, now=NOW)
    return only


def test_card_carries_price_context_and_abilities():
    only = card()
    assert (only.model_id, only.provider) == ("openai/gpt-4o-mini", "openai")
    assert only.price.prompt_usd == Decimal("0.00000015")
    assert only.price.completion_usd == Decimal("0.0000006")
    assert (only.context_tokens, only.completion_tokens_max) == (120000, 16384)
    assert only.abilities == {"tools", "response_format", "structured_outputs", "image"}
    assert (only.source, only.priced_at, only.suspended_reason) == ("openrouter", NOW, None)


@pytest.mark.parametrize(
    "pricing",
    [
        {},
        None,
        {"prompt": "-1", "completion": "-1"},
        {"prompt": "0.1"},
        {"prompt": "0.1", "completion": "lots"},
        {"prompt": "0.1", "completion": "NaN"},
        {"prompt": "0.1", "completion": "0.1", "request": "-0.5"},
        {"prompt": ["0.1"], "completion": "0.1"},
    ],
)
def test_price_is_unknown_when_any_part_is(pricing):
    assert card(pricing=pricing).price is None


def test_free_model_has_the_price_zero():
    price = card(pricing={"prompt": "0", "completion": "0"}).price
    assert (price.prompt_usd, price.completion_usd) == (0, 0)


def test_price_is_the_dearest_tier():
    pricing = {
        "prompt": "0.000003",
        "completion": "0.000015",
        "internal_reasoning": "0.00002",
        "input_cache_read": "0.0000003",
        "input_cache_write": "0.00000375",
        "image": "0.0048",
        "request": "0.01",
        "discount": 0,
        "overrides": [
            {"min_prompt_tokens": 200000, "prompt": "0.000006", "completion": "0.0000225"},
            {"utc_start": "1600", "utc_end": "0000", "prompt": "0.000001"},
        ],
    }
    price = card(pricing=pricing).price
    assert price.prompt_usd == Decimal("0.000006")
    assert price.completion_usd == Decimal("0.0000225")
    assert price.cache_read_usd == Decimal("0.0000003")
    assert price.cache_write_usd == Decimal("0.00000375")
    assert (price.image_usd, price.request_usd) == (Decimal("0.0048"), Decimal("0.01"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expiration_date": "2026-01-01"}, "expires on 2026-01-01"),
        ({"expiration_date": "2026-11-23"}, "expires on 2026-11-23"),
        ({"expiration_date": "2026-11-23T11:00:00Z"}, "expires on 2026-11-23"),
        ({"expiration_date": "2026-12-24"}, None),
        ({"expiration_date": "someday"}, None),
        ({"architecture": {"output_modalities": ["image"]}}, "answers with image, not with text"),
    ],
)
def test_model_is_suspended_when_it_ends_or_writes_no_text(changes, reason):
    assert card(**changes).suspended_reason == reason


def test_broken_entries_are_left_out_and_do_not_hide_the_others():
    data = [None, {}, {"id": 5}, {"id": "a\nb"}, {"id": "x" * 500}, {"id": "bare/model"}, model()]
    cards = cards_from({"data": data}, now=NOW)
    assert [only.model_id for only in cards] == ["bare/model", "openai/gpt-4o-mini"]
    assert cards[0].price is None


def test_plain_openai_list_gives_cards_without_prices():
    entry = {"id": "llama3", "object": "model", "created": 1, "owned_by": "library"}
    (only,) = cards_from({"object": "list", "data": [entry]}, now=NOW)
    assert (only.model_id, only.price, only.context_tokens) == ("llama3", None, None)


@pytest.mark.anyio
async def test_models_are_read_from_the_list_endpoint(scripted):
    script = scripted(200, {"data": [model()], "total_count": 1})
    cards = await script.client.models()
    assert [only.model_id for only in cards] == ["openai/gpt-4o-mini"]
    assert script.requests[0].url == "https://openrouter.test/api/v1/models"


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"<html>", {"data": {}}, {}, []])
async def test_model_list_that_cannot_be_read_is_an_error(scripted, body):
    client = scripted(200, b"[]" if body == [] else body).client
    with pytest.raises(OutcomeUnknown, match="cannot be read"):
        await client.models()


# Prices without a network


def test_offline_card_has_the_dearest_tier_and_the_datas_own_date():
    mini, sonnet = offline_cards(["openai/gpt-4o-mini", "anthropic/claude-sonnet-4.5"], NOW)
    assert mini.price.prompt_usd == Decimal("0.00000015")
    assert mini.price.completion_usd == Decimal("0.0000006")
    assert mini.price.cache_read_usd == Decimal("0.000000075")
    assert (mini.context_tokens, mini.source) == (128000, "genai-prices")
    assert "tools" in mini.abilities
    assert sonnet.price.prompt_usd == Decimal("0.000006")  # above 200,000 tokens
    assert sonnet.price.completion_usd == Decimal("0.0000225")
    assert NOW - timedelta(days=60) < mini.priced_at <= NOW


def test_offline_variant_is_priced_as_its_model_and_free_is_free():
    nitro, free = offline_cards(
        ["openai/gpt-4o-mini:nitro", "agentica-org/deepcoder-14b-preview:free"], NOW
    )
    assert nitro.model_id == "openai/gpt-4o-mini:nitro"
    assert nitro.price.prompt_usd == Decimal("0.00000015")
    assert free.price.completion_usd == 0


def test_offline_price_is_that_of_its_day():
    before, after = (
        offline_cards(["aion-labs/aion-rp-llama-3.1-8b"], datetime(2026, month, 30, tzinfo=UTC))[0]
        for month in (9, 10)
    )
    assert before.price.prompt_usd == Decimal("0.0000002")
    assert after.price.prompt_usd == Decimal("0.0000008")  # since 2026-10-19


def test_offline_price_is_unknown_when_the_data_does_not_know_the_model():
    assert [only.price for only in offline_cards(["nobody/nothing", "openrouter/auto"], NOW)] == [
        None,
        None,
    ]


def test_offline_data_from_the_future_is_not_new():
    assert data_date(datetime(1999, 1, 1, tzinfo=UTC)) == UNKNOWN_DATE


# The upstream's books


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("data", "cost"),
    [
        ({"total_cost": 0.00123}, "0.00123"),
        ({"total_cost": 0}, "0"),
        ({"total_cost": 0.01, "is_byok": True, "upstream_inference_cost": 0.5}, "0.51"),
        ({"total_cost": 0.01, "is_byok": False, "upstream_inference_cost": 0.01}, "0.01"),
    ],
)
async def test_generation_states_the_true_cost(scripted, data, cost):
    more = {"native_tokens_prompt": 9, "tokens_prompt": 8, "cancelled": True}
    script = scripted(200, {"data": data | more})
    record = await script.client.generation("gen-1")
    assert record.cost_usd == Decimal(cost)
    assert (record.generation_id, record.prompt_tokens, record.cancelled) == ("gen-1", 9, True)
    assert script.requests[0].url.params["id"] == "gen-1"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": {"code": 404, "message": "not found"}}),
        (404, b""),
        (200, {"data": {"total_cost": None}}),
        (200, {"data": {"total_cost": 0.1, "is_byok": True}}),
    ],
)
async def test_generation_is_none_while_its_cost_is_not_known(scripted, status, body):
    assert await scripted(status, body).client.generation("gen-1") is None


@pytest.mark.anyio
@pytest.mark.parametrize("cost", ["-1", "1e400", '"NaN"', "true"])
async def test_generation_is_not_believed_when_its_cost_cannot_be_true(scripted, cost):
    body = f'{{"data": {{"total_cost": {cost}}}}}'.encode()
    with pytest.raises(OutcomeUnknown):
        await scripted(200, body).client.generation("gen-1")


@pytest.mark.anyio
async def test_key_spend_is_read_exactly(scripted):
    data = {"usage": 25.5, "usage_daily": 1, "usage_weekly": 2.25, "usage_monthly": 0.1}
    spend = await scripted(200, {"data": data | {"limit_remaining": -0.5}}).client.key_spend()
    assert (spend.usage_usd, spend.usage_daily_usd) == (Decimal("25.5"), Decimal(1))
    assert (spend.usage_weekly_usd, spend.usage_monthly_usd) == (Decimal("2.25"), Decimal("0.1"))
    assert spend.limit_remaining_usd == Decimal("-0.5")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "body", "leaf"),
    [
        (401, {"error": {"code": 401, "message": "User not found."}}, AccessDenied),
        (200, {"data": {"usage": "lots"}}, OutcomeUnknown),
        (200, {"data": {}}, OutcomeUnknown),
    ],
)
async def test_key_spend_fails_when_the_upstream_does_not_say(scripted, status, body, leaf):
    with pytest.raises(leaf):
        await scripted(status, body).client.key_spend()


@pytest.mark.anyio
async def test_credits_leave_a_balance(scripted):
    body = {"data": {"total_credits": 100.5, "total_usage": 25.75}}
    credits = await scripted(200, body).client.credits()
    assert credits.balance_usd == Decimal("74.75")
