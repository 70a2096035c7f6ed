from __future__ import annotations

from decimal import Decimal

import pytest

from models.completion import Usage
from models.money import parse_usd, plain, round_up_usd
from models.pricing import TokenPrice, completion_tokens_that_fit, cost_usd, worst_case_usd

MTOK = Decimal(10**6)
MINI = TokenPrice(Decimal("0.15") / MTOK, Decimal("0.60") / MTOK)


@pytest.mark.parametrize(
    ("value", "amount"),
    [("0.1", "0.1"), (3, "3"), (Decimal("1E-13"), "0.000000000001"), ("1e-3", "0.001")],
)
def test_parse_usd_reads_exact_amounts_rounded_up(value, amount):
    assert parse_usd(value) == Decimal(amount)


@pytest.mark.parametrize("value", [0.1, True, None, "x", "NaN", "Infinity", "-1", "10000001"])
def test_parse_usd_refuses_what_is_no_amount(value):
    with pytest.raises(ValueError, match="is not"):
        parse_usd(value)


@pytest.mark.parametrize(
    ("amount", "text"), [("0.10", "0.1"), ("5", "5"), ("1E-12", "0." + "0" * 11 + "1")]
)
def test_plain_shows_neither_exponent_nor_trailing_zeros(amount, text):
    assert plain(Decimal(amount)) == text


def test_round_up_never_falls_short():
    assert round_up_usd(Decimal("0.0000000000001")) == Decimal("1E-12")


def test_worst_case_is_the_full_answer_after_the_dearest_prompt():
    # 4,000 * 0.15 + 1,000 * 0.60 per million
    assert worst_case_usd(MINI, prompt_tokens=4000, completion_tokens=1000) == Decimal("0.0012")
    cached = TokenPrice(MINI.prompt_usd, MINI.completion_usd, cache_write_usd=Decimal("1e-6"))
    # 4,000 * 1 + 0 per million
    assert worst_case_usd(cached, prompt_tokens=4000, completion_tokens=0) == Decimal("0.004")


def test_worst_case_counts_requests_and_images():
    price = TokenPrice(
        Decimal(0), Decimal(0), request_usd=Decimal("0.01"), image_usd=Decimal("0.002")
    )
    found = worst_case_usd(price, prompt_tokens=9, completion_tokens=9, images=3)
    assert found == Decimal("0.016")
    assert price.max_price() == {
        "prompt": "0",
        "completion": "0",
        "request": "0.01",
        "image": "0.002",
    }


def test_max_price_is_per_million_tokens_in_plain_strings():
    assert MINI.max_price() == {"prompt": "0.15", "completion": "0.6"}


@pytest.mark.parametrize(
    ("price", "available", "tokens"),
    [
        (MINI, "0.0012", 1000),
        (MINI, "0.00119999", 999),
        (MINI, "0.0005", -1),
        (TokenPrice(Decimal(0), Decimal(0)), "0", 10**9),
    ],
)
def test_completion_tokens_that_fit_are_what_the_rest_buys(price, available, tokens):
    found = completion_tokens_that_fit(price, prompt_tokens=4000, available_usd=Decimal(available))
    assert found == tokens


def test_cost_counts_cached_tokens_at_their_own_price():
    price = TokenPrice(
        Decimal(1) / MTOK, Decimal(2) / MTOK, Decimal("0.1") / MTOK, Decimal("1.25") / MTOK
    )
    usage = Usage(1000, 10, cached_tokens=400)
    assert cost_usd(price, usage) == Decimal("0.00066")  # 600 + 40 + 20 per million
    usage = Usage(1000, 10, cached_tokens=400, cache_write_tokens=100)
    assert cost_usd(price, usage) == Decimal("0.000685")  # 500 + 40 + 125 + 20 per million


def test_cost_takes_the_plain_price_where_caching_has_none():
    assert cost_usd(MINI, Usage(1000, 10, cached_tokens=400, cache_write_tokens=9)) == Decimal(
        "0.000156"  # 150 + 6 per million
    )
