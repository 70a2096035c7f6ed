from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from models.attempt import Bill, Rejected, Replay, Reserved
from models.budget import BudgetDefinition
from tasks.adapters.database import Database, open_database
from tasks.adapters.ledger import Ledger

pytestmark = pytest.mark.anyio
CONNECTIONS = 64
HOLD = Decimal("0.0004")
LIMIT = Decimal("0.0502")  # 125 holds and half of one
SCOPES = {
    1: [("global", "daily")],
    6: [(t, p) for t in ("global", "policy", "worker") for p in ("daily", "monthly")],
    13: [
        (budget_type, period)
        for budget_type in ("global", "policy", "worker", "model")
        for period in ("daily", "weekly", "monthly")
    ]
    + [("task", "once")],
}


@pytest.fixture
async def crowd(database_url: str) -> AsyncIterator[Ledger]:
    """A ledger with as many connections as there are racers."""
    async with open_database(database_url, pool_max=CONNECTIONS) as opened:
        await opened.execute("DELETE FROM budget_definitions")
        yield Ledger(opened)


async def deadlocks(database: Database) -> int:
    row = await database.fetch_one(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert row is not None
    return int(row["deadlocks"])


@pytest.mark.parametrize("scopes", [1, 6, 13])
async def test_last_cents_are_admitted_exactly_when_64_connections_race(
    crowd: Ledger, database: Database, hold, scopes: int
) -> None:
    for budget_type, period in SCOPES[scopes]:
        await crowd.set_budget(
            BudgetDefinition(budget_type=budget_type, budget_period=period, budget_amount=LIMIT)
        )
    task_id = uuid.uuid4()
    holds = [hold(worst_case_usd=HOLD, task_id=task_id) for _ in range(300)]
    answers = await asyncio.gather(*(crowd.reserve(each) for each in holds))
    assert sum(isinstance(answer, Reserved) for answer in answers) == LIMIT // HOLD == 125
    assert sum(isinstance(answer, Rejected) for answer in answers) == 175
    for state in await crowd.budgets():
        if state.budget_id is not None:
            assert state.remaining_amount == Decimal("0.0002")
    assert await deadlocks(database) == 0
    assert (await crowd.audit()).is_clean


async def test_nothing_deadlocks_when_everything_runs_at_once_in_any_order(
    crowd: Ledger, database: Database, hold
) -> None:
    for budget_type, period in SCOPES[13]:
        await crowd.set_budget(
            BudgetDefinition(budget_type=budget_type, budget_period=period, budget_amount=5)
        )
    dice = random.Random(20261122)

    async def worker(number: int) -> None:
        for _ in range(6):
            mine = hold(
                worker_id=f"w{dice.randrange(4)}",
                model_id=f"m{dice.randrange(4)}",
                policy=f"p{dice.randrange(4)}",
                task_id=uuid.UUID(int=dice.randrange(4)),
                task_cap_usd=Decimal("0.05"),
                lease_s=0.001 if dice.random() < 0.2 else 60,
            )
            row = await crowd.reserve(mine)
            assert isinstance(row, Reserved), row
            if not await crowd.mark_sent(row.selection_id, mine.token, 60):
                await crowd.sweep()
            elif dice.random() < 0.2:
                await crowd.release(row.selection_id, mine.token, outcome="failed")
            elif dice.random() < 0.2:
                await crowd.mark_unknown(row.selection_id, mine.token, "cut", "cut")
            else:
                await crowd.settle(row.selection_id, Bill(Decimal("0.003"), "usage", "ok"))
        if number % 16 == 0:
            await crowd.set_budget(
                BudgetDefinition(budget_type="worker", budget_period="daily", budget_amount=6)
            )

    await asyncio.gather(*(worker(number) for number in range(CONNECTIONS)))
    assert await deadlocks(database) == 0
    assert (await crowd.audit()).is_clean


async def test_one_key_is_one_hold_when_64_ask_at_once(crowd: Ledger, hold, budget) -> None:
    await crowd.set_budget(budget("5"))
    decision_id = uuid.uuid4()
    answers = await asyncio.gather(
        *(crowd.reserve(hold(decision_id=decision_id)) for _ in range(CONNECTIONS))
    )
    assert sum(isinstance(answer, Reserved) for answer in answers) == 1
    assert sum(isinstance(answer, Replay) for answer in answers) == CONNECTIONS - 1
    (state,) = await crowd.budgets()
    assert state.reserved_amount == Decimal("0.01")


async def test_one_token_may_send_when_many_ask_for_one_attempt(
    crowd: Ledger, hold, budget
) -> None:
    await crowd.set_budget(budget("5"))
    mine = hold()
    row = await crowd.reserve(mine)
    assert isinstance(row, Reserved)
    tokens = [mine.token, *(uuid.uuid4() for _ in range(31))]
    random.Random(7).shuffle(tokens)
    answers = await asyncio.gather(
        *(crowd.mark_sent(row.selection_id, token, 60) for token in tokens)
    )
    assert [t for t, may_send in zip(tokens, answers, strict=True) if may_send] == [mine.token]


async def test_bill_is_booked_once_when_many_settle_it(crowd: Ledger, hold, budget) -> None:
    await crowd.set_budget(budget("5"))
    mine = hold()
    row = await crowd.reserve(mine)
    assert isinstance(row, Reserved)
    await crowd.mark_sent(row.selection_id, mine.token, 60)
    bill = Bill(Decimal("0.004"), "usage", "ok")
    answers = await asyncio.gather(*(crowd.settle(row.selection_id, bill) for _ in range(32)))
    assert sorted(answer.state for answer in answers) == ["already_settled"] * 31 + ["settled"]
    (state,) = await crowd.budgets()
    assert (state.spent_amount, state.reserved_amount) == (Decimal("0.004"), 0)


async def test_a_refusal_names_its_budget_though_room_came_back_before_it_looked(
    crowd: Ledger, database: Database, hold, budget
) -> None:
    await crowd.set_budget(budget("0.01"))
    filling = hold()
    held = await crowd.reserve(filling)
    assert isinstance(held, Reserved)
    await database.execute("CREATE SEQUENCE refused")
    await database.execute(  # the refused entry goes after the limit was found full
        "CREATE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM nextval('refused'), pg_advisory_xact_lock(7); RETURN OLD; END $$"
    )
    await database.execute(
        "CREATE TRIGGER stop BEFORE DELETE ON model_selections"
        " FOR EACH ROW EXECUTE FUNCTION stop_here()"
    )
    async with database.connection() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(7)")
        refused = asyncio.create_task(crowd.reserve(hold()))
        while not await database.fetch_one("SELECT 1 AS one FROM refused WHERE is_called"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await crowd.release(held.selection_id, filling.token, outcome="cancelled")
    answer = await refused
    assert isinstance(answer, Rejected)
    assert [(b.budget, b.remaining_usd) for b in answer.blocking] == [
        ("global daily", Decimal("0.01"))
    ]
    assert (await crowd.audit()).is_clean
