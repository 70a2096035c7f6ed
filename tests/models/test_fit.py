from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from models.fit import money_returns_at, room_in
from tests.models.builders import NOW, TOMORROW, budget_of

ONE = Decimal(1)


def test_room_in_is_that_of_the_tightest_budget():
    rooms = [budget_of("5"), budget_of("3", name="worker:w1 daily", spent_usd=ONE)]
    room = room_in(rooms, ONE)
    assert (room.available_usd, room.tightest) == (Decimal(2), "worker:w1 daily")


def test_room_in_an_overrun_elastic_budget_is_not_stretched():
    room = room_in([budget_of("1", mode="elastic", spent_usd=Decimal(3))], Decimal("0.5"))
    assert room.available_usd == Decimal(-2)


def test_room_in_takes_back_a_quotient_that_was_rounded_up():
    left, ratio = Decimal("0.000000000001"), Decimal("0.9999999999999999999999999999")
    assert room_in([budget_of(str(left), mode="elastic")], ratio).available_usd * ratio <= left


@pytest.mark.parametrize(
    ("budget", "back"),
    [
        (budget_of("5"), NOW),
        (budget_of("5", spent_usd=Decimal("4.5")), TOMORROW),
        (budget_of("0.5"), None),
        (budget_of("5", spent_usd=Decimal("4.5"), period_end=None), None),
        (budget_of("5", reserved_usd=Decimal("4.5"), period_end=None), NOW),
        (budget_of("5", spent_usd=Decimal("4.9"), mode="elastic"), TOMORROW),
        (budget_of("5", spent_usd=Decimal("4.5"), mode="elastic"), NOW),
    ],
)
def test_money_returns_when_the_period_turns_or_holds_end_or_never(budget, back):
    ratio = Decimal("0.25") if budget.mode == "elastic" else ONE
    assert money_returns_at([budget], ONE, ratio, NOW) == back


def test_money_returns_when_the_last_of_several_budgets_turns():
    later = TOMORROW + timedelta(days=6)
    rooms = [budget_of("1", spent_usd=ONE), budget_of("1", spent_usd=ONE, period_end=later)]
    assert money_returns_at(rooms, ONE, ONE, NOW) == later
