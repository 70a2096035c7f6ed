"""Balances are locked in the order of their ids, however an entry names them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import pytest

from models.attempt import Bill, Reserved
from tasks.adapters.database import Database

pytestmark = pytest.mark.anyio
BILL = Bill(Decimal("0.004"), "usage", "ok")
BALANCES = "SELECT id FROM cost_budgets ORDER BY id"
WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


async def assert_waits_with_nothing_locked(database: Database, call: Awaitable[Any]) -> Any:
    """Somebody else has the first balance: the call waits there, and the second is still free."""
    first, second = [row["id"] for row in await database.fetch_all(BALANCES)]
    async with database.connection() as holder, holder.transaction():
        await holder.execute("SELECT FROM cost_budgets WHERE id = %s FOR UPDATE", (first,))
        asked = asyncio.ensure_future(call)
        while not await database.fetch_all(WAITING):
            assert not asked.done()
        query = "SELECT id FROM cost_budgets WHERE id = %s FOR UPDATE NOWAIT"
        assert await database.fetch_all(query, (second,))
    return await asked


async def begin(ledger: Any, hold: Any, budget: Any) -> Reserved:
    """Two limits, and an attempt that is sent."""
    await ledger.set_budget(budget("5"))
    await ledger.set_budget(budget("5", budget_type="worker"))
    mine = hold()
    row = await ledger.reserve(mine)
    assert isinstance(row, Reserved)
    assert await ledger.mark_sent(row.selection_id, mine.token, 60)
    return row


async def test_reserve_takes_the_balances_in_order(ledger, database, hold, budget) -> None:
    await begin(ledger, hold, budget)
    answer = await assert_waits_with_nothing_locked(database, ledger.reserve(hold()))
    assert isinstance(answer, Reserved)


async def test_settle_takes_the_balances_in_order(ledger, database, hold, budget) -> None:
    row = await begin(ledger, hold, budget)
    settling = ledger.settle(row.selection_id, BILL)
    assert (await assert_waits_with_nothing_locked(database, settling)).state == "settled"


async def test_settle_of_an_older_entry_puts_its_balances_in_order(
    ledger, database, hold, budget
) -> None:
    row = await begin(ledger, hold, budget)
    await database.execute(
        "UPDATE model_selections SET budget_ids = ARRAY[budget_ids[2], budget_ids[1]],"
        " hold_amounts = ARRAY[hold_amounts[2], hold_amounts[1]]"
    )
    settling = ledger.settle(row.selection_id, BILL)
    assert (await assert_waits_with_nothing_locked(database, settling)).state == "settled"
    assert (await ledger.audit()).is_clean


async def test_older_entry_frees_in_each_balance_what_it_holds_there(
    ledger, database, hold, budget
) -> None:
    await ledger.set_budget(budget("5"))
    await ledger.set_budget(budget("5", budget_type="worker", mode="elastic"))
    mine = hold(elastic_usd=Decimal("0.003"))
    row = await ledger.reserve(mine)
    await database.execute(
        "UPDATE model_selections SET budget_ids = ARRAY[budget_ids[2], budget_ids[1]],"
        " hold_amounts = ARRAY[hold_amounts[2], hold_amounts[1]]"
    )
    assert await ledger.release(row.selection_id, mine.token, outcome="failed")
    assert {state.reserved_amount for state in await ledger.budgets()} == {Decimal(0)}
    assert (await ledger.audit()).is_clean
