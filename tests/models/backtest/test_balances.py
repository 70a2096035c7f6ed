"""Budgets run again: what another spending leaves, period by period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from models.backtest.balances import Balances, Limit, Spending
from tests.models.builders import NOW, TOMORROW, budget_of

RULED = Decimal("0.8")


def spent(model_id: str, usd: str, policy: str = "normal") -> Spending:
    return Spending(policy, {model_id: Decimal(usd)})


def test_later_decisions_of_the_period_see_what_was_spent_more():
    balances, room = Balances(()), budget_of("5")
    balances.book([room], (), spent("a", "1"), spent("b", "3"), refused=False)
    later = budget_of("5", spent_usd=Decimal("1.5"))  # 1 of ours, 0.5 of others
    (seen,) = balances.as_spent([later])
    assert seen.spent_usd == Decimal("3.5")  # 1.5 + (3 - 1)


def test_next_period_starts_as_it_was_recorded():
    balances = Balances(())
    balances.book([budget_of("5")], (), spent("a", "1"), spent("b", "3"), refused=False)
    tomorrow = budget_of("5", period_end=TOMORROW + timedelta(days=1))
    assert balances.as_spent([tomorrow]) == (tomorrow,)


def test_money_that_is_saved_is_there_for_others_but_never_below_nothing():
    balances, room = Balances(()), budget_of("5")
    balances.book([room], (), spent("a", "4"), spent("b", "1"), refused=False)
    (seen,) = balances.as_spent([budget_of("5", spent_usd=Decimal("2"))])
    assert seen.spent_usd == 0


def test_model_budget_pays_for_its_model_only():
    balances = Balances(())
    room = budget_of("5", name="model:a daily", budget_type="model", scope_key="a")
    balances.book([room], (), spent("a", "1"), spent("b", "3"), refused=False)
    (seen,) = balances.as_spent([budget_of("5", name="model:a daily", budget_type="model",
                                           scope_key="a", spent_usd=Decimal(1))])  # fmt: skip
    assert seen.spent_usd == 0


def test_policy_that_loses_a_decision_gets_its_money_back():
    balances = Balances(())
    room = budget_of("5", name="policy:old daily", budget_type="policy", scope_key="old")
    was, would_be = spent("a", "1", "old"), spent("a", "1", "new")
    balances.book([room], (), was, would_be, refused=False)
    assert balances.courses["policy:old daily", TOMORROW].simulated_usd == 0


def limit(**changes: Any) -> Limit:
    days = [NOW.replace(hour=0) + timedelta(days=n) for n in range(3)]
    parts: dict[str, Any] = {
        "budget_type": "policy",
        "scope_key": "*",
        "budget_period": "daily",
        "amount_usd": Decimal(5),
        "mode": "hard",
        "alert_ratio": RULED,
        "periods": tuple(pairwise(days)),
    }
    return Limit(**parts | changes)


def test_budget_that_only_the_changed_policy_pays_from_fills_and_turns():
    balances = Balances([limit()])
    rooms = balances.added(NOW, "policy", ["new"])
    assert [(room.name, room.spent_usd, room.period_end) for room in rooms] == [
        ("policy:new daily", 0, datetime(2026, 11, 24, tzinfo=UTC))
    ]
    balances.book((), rooms, spent("a", "1"), spent("a", "2", "new"), refused=False)
    assert balances.added(NOW, "policy", ["new"])[0].spent_usd == 2
    next_day = balances.added(NOW + timedelta(days=1), "policy", ["new"])
    assert next_day[0].spent_usd == 0


def test_definition_that_names_the_scope_takes_the_templates_place():
    named = limit(scope_key="new", amount_usd=Decimal(1))
    for order in ([limit(), named], [named, limit()]):
        (room,) = Balances(order).added(NOW, "policy", ["new"])
        assert room.amount_usd == 1


def test_cap_of_one_request_carries_nothing_over():
    balances, cap = Balances(()), budget_of("5", name="request limit")
    balances.book([cap], (), spent("a", "1"), spent("b", "3"), refused=False)
    assert balances.as_spent([cap]) == (cap,)
