from __future__ import annotations

from decimal import Decimal

import pytest

from models.completion import Completion, Usage
from models.errors import NotBatched, OutcomeUnknown
from models.pricing import TokenPrice
from models.upstream_batch import (
    BatchResult,
    UpstreamBatch,
    failure_without_answer,
    priced_results,
    shares_usd,
)

PRICE = TokenPrice(Decimal("0.001"), Decimal("0.002"))


def answered(custom_id: str, prompt: int, completion: int, cost: str | None = None) -> BatchResult:
    usage = Usage(prompt, completion, cost_usd=None if cost is None else Decimal(cost))
    return BatchResult(custom_id, Completion("m", None, "yes", {}, "stop", None, usage, "gen-1", 0))


def batch(status: str, cost: str | None, *results: BatchResult) -> UpstreamBatch:
    usd = None if cost is None else Decimal(cost)
    return UpstreamBatch("b", status, usd, len(results), None, results)


def costs(priced: UpstreamBatch) -> list[Decimal | None]:
    return [one.completion.usage.cost_usd for one in priced.results]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        ("0.9", ["1.0", "0.8"], ["0.5", "0.4"]),  # 0.9 * 1.0 / 1.8, 0.9 * 0.8 / 1.8
        ("1", ["1", "1", "1"], ["0.333333333333", "0.333333333333", "0.333333333334"]),
        ("0.4", ["0", "0"], ["0.2", "0.2"]),
    ],
)
def test_shares_add_up_to_the_whole(total: str, weights: list[str], shares: list[str]) -> None:
    made = shares_usd(Decimal(total), [Decimal(weight) for weight in weights])
    assert made == [Decimal(share) for share in shares]
    assert sum(made) == Decimal(total)


def test_answers_without_a_cost_share_the_batch_by_list_price() -> None:
    # list: 100 * 0.001 + 10 * 0.002 = 0.12, and 20 * 0.001 + 20 * 0.002 = 0.06; half is 0.09
    made = batch("completed", "0.09", answered("a", 100, 10), answered("b", 20, 20))
    assert costs(priced_results(made, PRICE)) == [Decimal("0.06"), Decimal("0.03")]


def test_stated_cost_of_an_item_wins_and_the_others_share_the_rest() -> None:
    made = batch("completed", "0.09", answered("a", 100, 10, "0.07"), answered("b", 20, 20))
    assert costs(priced_results(made, PRICE)) == [Decimal("0.07"), Decimal("0.02")]


def test_batch_without_a_bill_prices_nothing() -> None:
    made = batch("completed", None, answered("a", 100, 10))
    assert costs(priced_results(made, PRICE)) == [None]


@pytest.mark.parametrize(
    ("made", "leaf"),
    [
        (batch("failed", None), NotBatched),  # refused as a whole: nothing was worked on
        (batch("expired", "0.07", answered("a", 100, 10, "0.07")), NotBatched),  # all is explained
        (batch("expired", "0.09", answered("a", 100, 10, "0.07")), OutcomeUnknown),  # 0.02 is not
        (batch("expired", None, answered("a", 100, 10, "0.07")), OutcomeUnknown),
    ],
)
def test_missing_result_is_free_only_where_the_bill_is_explained(
    made: UpstreamBatch, leaf: type[Exception]
) -> None:
    assert type(failure_without_answer(made, None)) is leaf
