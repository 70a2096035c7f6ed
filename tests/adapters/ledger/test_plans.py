"""A plan that is made while the ledger is small must serve it when it has grown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from models.attempt import Bill, Reserved
from tasks.adapters.database import Database, open_database
from tasks.adapters.ledger import Ledger

pytestmark = pytest.mark.anyio
PLANS_KEPT = 12  # PostgreSQL keeps a plan after five executions, psycopg prepares after as many
WHOLE_READS = """
SELECT coalesce(sum(seq_scan), 0) AS reads FROM pg_stat_user_tables
 WHERE relname IN ('cost_budgets', 'model_selections')
"""


async def whole_reads(database: Database) -> int:
    await database.fetch_all("SELECT pg_stat_force_next_flush()")
    (row,) = await database.fetch_all(WHOLE_READS)
    return int(row["reads"])


async def test_ledger_reads_no_table_whole_though_it_was_analyzed_small(
    database_url: str, hold, budget
) -> None:
    async with open_database(database_url, pool_max=1) as database:
        ledger = Ledger(database)
        await ledger.set_budget(budget("5"))
        await ledger.set_budget(budget("5", budget_type="worker"))

        async def request() -> None:
            mine = hold(task_cap_usd=Decimal(1))
            await ledger.head_room(policy="normal", decision_id=mine.decision_id)
            row = await ledger.reserve(mine)
            assert isinstance(row, Reserved)
            await ledger.mark_sent(row.selection_id, mine.token, 60)
            await ledger.settle(row.selection_id, Bill(Decimal("0.001"), "usage", "ok"))

        await request()
        await database.execute("ANALYZE")
        before = await whole_reads(database)
        for _ in range(PLANS_KEPT):
            await request()
        assert await whole_reads(database) == before
