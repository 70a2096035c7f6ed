from __future__ import annotations

import asyncio
from decimal import Decimal

import psycopg
import pytest

from models.attempt import Bill, Reserved
from models.errors import DatabaseFailed

pytestmark = pytest.mark.anyio
BILL = Bill(Decimal("0.004"), "usage", "ok")


async def test_calls_ride_out_cut_connections(ledger, hold, budget, database_url) -> None:
    await ledger.set_budget(budget("5"))

    def cut_all() -> None:
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    mine = hold()
    cut_all()
    row = await ledger.reserve(mine)
    assert isinstance(row, Reserved)
    cut_all()
    assert await ledger.mark_sent(row.selection_id, mine.token, 60)
    cut_all()
    assert (await ledger.settle(row.selection_id, BILL)).state == "settled"
    assert (await ledger.audit()).spent_usd == Decimal("0.004")


async def test_settle_waits_for_a_balance_that_somebody_holds(
    ledger, hold, budget, database_url
) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = await ledger.reserve(mine)
    assert isinstance(row, Reserved)
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT 1 FROM cost_budgets FOR UPDATE")
        with pytest.raises(DatabaseFailed, match="lock timeout"):
            await ledger.reserve(hold())  # refuses after its tries: nothing is sent
        settling = asyncio.create_task(ledger.settle(row.selection_id, BILL))
        await asyncio.sleep(0.1)
        await other.rollback()
        assert (await settling).state == "settled"
