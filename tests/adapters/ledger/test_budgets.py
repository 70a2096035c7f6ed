from __future__ import annotations

import asyncio
import uuid
from decimal import Decimal

import pytest

from models.attempt import Bill, Rejected, Reserved
from models.budget import BudgetDefinition, parse_budget
from models.errors import InvalidConfiguration, NotFound
from tasks.adapters.database import Database
from tasks.adapters.ledger import Ledger

pytestmark = pytest.mark.anyio


async def age_periods(database: Database, days: int = 1) -> None:
    """Move every balance into the past, as if that many days had gone by."""
    await database.execute(
        "UPDATE cost_budgets SET period_start = period_start - make_interval(days => %(days)s),"
        " period_end = period_end - make_interval(days => %(days)s) WHERE budget_period <> 'once'",
        {"days": days},
    )


async def end_periods(database: Database) -> None:
    """Let every period end at this moment, so that the next one joins it at any hour of the day."""
    await database.execute(
        "UPDATE cost_budgets SET period_end = now(), period_start = now() - interval '1 day'"
    )


async def spend(ledger: Ledger, hold, cost: str, **fields) -> None:
    mine = hold(worst_case_usd=Decimal(cost), **fields)
    row = await ledger.reserve(mine)
    assert isinstance(row, Reserved), row
    assert await ledger.mark_sent(row.selection_id, mine.token, 60)
    bill = Bill(cost_usd=Decimal(cost), source="usage", outcome="ok")
    assert (await ledger.settle(row.selection_id, bill)).state == "settled"


async def test_limit_change_holds_at_once_in_the_open_period(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("0.10"))
    await spend(ledger, hold, "0.05")
    state = await ledger.set_budget(budget("0.05"))
    assert (state.spent_amount, state.remaining_amount) == (Decimal("0.05"), 0)
    assert isinstance(await ledger.reserve(hold()), Rejected)
    await ledger.set_budget(budget("0.06"))
    assert isinstance(await ledger.reserve(hold()), Reserved)


async def test_named_definition_takes_the_place_of_the_template(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("0.02", budget_type="worker"))
    await spend(ledger, hold, "0.02")
    assert isinstance(await ledger.reserve(hold()), Rejected)
    state = await ledger.set_budget(budget("0.05", budget_type="worker", scope_key="w1"))
    assert state.spent_amount == Decimal("0.02")  # the open balance moves along
    assert isinstance(await ledger.reserve(hold()), Reserved)
    assert isinstance(await ledger.reserve(hold(worker_id="w2")), Reserved)
    await ledger.set_budget(budget("0.05", budget_type="worker", scope_key="w1", is_active=False))
    assert isinstance(await ledger.reserve(hold()), Rejected)  # the template is back


async def test_template_gives_every_worker_a_balance_of_its_own(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("0.01", budget_type="worker"))
    for worker_id in ("w1", "w2", "w3"):
        assert isinstance(await ledger.reserve(hold(worker_id=worker_id)), Reserved)
        assert isinstance(await ledger.reserve(hold(worker_id=worker_id)), Rejected)
    assert isinstance(await ledger.reserve(hold(worker_id="w2", model_id="x/y")), Rejected)


async def test_task_budget_bounds_a_governance_task_for_good(
    ledger, hold, budget, database
) -> None:
    task_id = uuid.uuid4()
    await ledger.set_budget(budget("0.02", budget_type="task", budget_period="once"))
    await spend(ledger, hold, "0.02", task_id=task_id)
    await age_periods(database, 400)
    assert isinstance(await ledger.reserve(hold(task_id=task_id)), Rejected)
    assert isinstance(await ledger.reserve(hold(task_id=uuid.uuid4())), Reserved)


async def test_head_room_shows_what_is_left_and_writes_nothing(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    await ledger.set_budget(budget("1", budget_type="model"))
    rooms = await ledger.head_room(policy="normal", model_ids=["a/b", "c/d"])
    assert [(room.name, room.remaining_amount, room.budget_id) for room in rooms] == [
        ("global daily", 5, None),
        ("model:a/b daily", 1, None),
        ("model:c/d daily", 1, None),
    ]
    assert await database.fetch_one("SELECT count(*) AS n FROM cost_budgets") == {"n": 0}
    await ledger.reserve(hold(model_id="a/b"))
    rooms = await ledger.head_room(policy="normal", model_ids=["a/b", "c/d"])
    assert [room.remaining_amount for room in rooms] == [Decimal("4.99"), Decimal("0.99"), 1]


async def test_period_turns_by_itself_when_nobody_resets_it(ledger, hold, budget, database) -> None:
    await ledger.set_budget(budget("0.01"))
    await spend(ledger, hold, "0.01")
    assert isinstance(await ledger.reserve(hold()), Rejected)
    await age_periods(database)
    assert isinstance(await ledger.reserve(hold()), Reserved)
    assert (await ledger.audit()).is_clean


async def test_late_settlement_lands_in_the_period_that_admitted_it(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("1"))
    mine = hold()
    row = await ledger.reserve(mine)
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    await age_periods(database)
    await ledger.reserve(hold())
    await ledger.settle(row.selection_id, Bill(Decimal("0.004"), "usage", "ok"))
    rows = await database.fetch_all(
        "SELECT spent_amount, reserved_amount FROM cost_budgets ORDER BY period_start"
    )
    assert [tuple(row.values()) for row in rows] == [
        (Decimal("0.004"), 0),
        (0, Decimal("0.01")),
    ]


async def test_first_use_makes_one_row_when_64_race_for_it(ledger, hold, budget, database) -> None:
    for period in ("daily", "weekly", "monthly", "once"):
        await ledger.set_budget(budget("5", budget_period=period))
    answers = await asyncio.gather(*(ledger.reserve(hold()) for _ in range(64)))
    assert all(isinstance(answer, Reserved) for answer in answers)
    assert await database.fetch_one("SELECT count(*) AS n FROM cost_budgets") == {"n": 4}


async def test_zone_change_neither_overlaps_nor_forgets(ledger, hold, budget, database) -> None:
    await ledger.set_budget(budget("1"))
    await spend(ledger, hold, "0.01")
    await ledger.open_next_periods()
    state = await ledger.set_budget(budget("1", time_zone="Pacific/Auckland"))
    assert state.spent_amount == Decimal("0.01")  # until its own end the open period stays
    await end_periods(database)
    await spend(ledger, hold, "0.01")
    rows = await database.fetch_all(
        "SELECT period_start, period_end, time_zone FROM cost_budgets ORDER BY period_start"
    )
    assert [row["time_zone"] for row in rows] == ["UTC", "Pacific/Auckland"]
    day = await database.fetch_one(
        "SELECT starts FROM ledger.period_bounds('daily', 'Pacific/Auckland', now())"
    )
    assert rows[1]["period_start"] == max(rows[0]["period_end"], day["starts"])


async def test_next_periods_open_early_and_join_without_a_gap(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("1"))
    await ledger.set_budget(budget("1", budget_period="once"))
    await ledger.reserve(hold())
    assert (await ledger.open_next_periods(), await ledger.open_next_periods()) == (1, 0)
    rows = await database.fetch_all(
        "SELECT period_start, period_end FROM cost_budgets WHERE budget_period = 'daily'"
        " ORDER BY period_start"
    )
    assert rows[0]["period_end"] == rows[1]["period_start"]
    assert len(await ledger.budgets()) == 2  # the coming period is not the open one


async def test_past_period_is_closed_when_it_is_final(ledger, hold, budget, database) -> None:
    await ledger.set_budget(budget("1"))
    await spend(ledger, hold, "0.01")
    await age_periods(database)
    assert [period.final for period in await ledger.close_past_periods()] == [False]
    await age_periods(database, 2)
    assert [(p.spent_usd, p.final) for p in await ledger.close_past_periods()] == [
        (Decimal("0.01"), True)
    ]
    assert await ledger.close_past_periods() == []


async def test_past_period_stays_open_while_a_hold_is(ledger, hold, budget, database) -> None:
    await ledger.set_budget(budget("1"))
    await ledger.reserve(hold())
    await age_periods(database, 5)
    assert [(p.held_usd, p.final) for p in await ledger.close_past_periods()] == [
        (Decimal("0.01"), False)
    ]


async def test_adjust_corrects_a_balance_with_a_row_the_audit_counts(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("1"))
    await spend(ledger, hold, "0.01")
    (state,) = await ledger.budgets()
    await ledger.adjust(state.budget_id, Decimal("-0.004"), "the key says less")
    (state,) = await ledger.budgets()
    assert state.spent_amount == Decimal("0.006")
    assert (await ledger.audit()).is_clean
    with pytest.raises(ValueError, match="below zero"):
        await ledger.adjust(state.budget_id, Decimal(-1), "too much")
    with pytest.raises(NotFound):
        await ledger.adjust(uuid.uuid4(), Decimal(1), "nobody")


async def test_elastic_ratio_is_learned_from_twenty_bills(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    for number in range(1, 21):
        assert await ledger.elastic_ratio("openai/gpt-4o-mini") is None
        mine = hold()
        row = await ledger.reserve(mine)
        await ledger.mark_sent(row.selection_id, mine.token, 60)
        cost = Decimal(number) / 2000  # 5 % to 100 % of the cent that is held
        await ledger.settle(row.selection_id, Bill(cost, "usage", "ok"))
    assert await ledger.elastic_ratio("openai/gpt-4o-mini") == Decimal("0.95")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"budget_type": "team"}, "budget_type"),
        ({"budget_period": "hourly"}, "budget_period"),
        ({"budget_amount": "-1"}, "budget_amount"),
        ({"budget_amount": "NaN"}, "budget_amount"),
        ({"budget_amount": "a lot"}, "budget_amount"),
        ({"alert_threshold": 0}, "alert_threshold"),
        ({"alert_threshold": 1.01}, "alert_threshold"),
        ({"time_zone": "Mars/Olympus"}, "IANA"),
        ({"time_zone": "../etc/passwd"}, "IANA"),
        ({"time_zone": "America"}, "IANA"),
        ({"mode": "soft"}, "mode"),
        ({"scope_key": "w1"}, "global budget"),
        ({"scope_key": ""}, "scope_key"),
        ({"budget_type": "task", "scope_key": "decision:1"}, "UUID"),
        ({"limit": "5"}, "limit"),
    ],
)
async def test_definition_is_refused_with_its_problem(change: dict, problem: str) -> None:
    document = {"budget_type": "global", "budget_period": "daily", "budget_amount": "5.00"}
    with pytest.raises(InvalidConfiguration, match=problem):
        parse_budget({**document, **change})


async def test_definition_has_the_documents_defaults() -> None:
    definition = parse_budget(
        {"budget_type": "global", "budget_period": "daily", "budget_amount": "5.00"}
    )
    assert definition.model_dump(mode="json") == {
        "budget_type": "global",
        "scope_key": "*",
        "budget_period": "daily",
        "budget_amount": "5",
        "alert_threshold": 0.8,
        "time_zone": "UTC",
        "mode": "hard",
        "is_active": True,
    }
    assert BudgetDefinition.model_validate_json(definition.model_dump_json()) == definition
