"""What the ledger has of the provider's days, weeks and months, and one comparer at a time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from models.drift import REASON, LedgerSpan
from tasks.adapters.database import Database

LOCK = 7_355_608_242  # any number nobody else uses for pg_advisory_xact_lock

SPANS = """
-- UTC days, ISO weeks and months, as the provider counts them. A call was billed between its
-- sending and its settling; none takes an hour.
SELECT span.period, span.starts,
       coalesce(sum(s.actual_cost) FILTER (WHERE s.state = 'SETTLED' AND s.sent_at >= span.starts),
                0) AS low_usd,
       coalesce(sum(CASE WHEN s.state = 'SETTLED' THEN s.actual_cost ELSE s.estimated_cost END)
                FILTER (WHERE s.state IN ('SENT', 'UNKNOWN')
                           OR s.state = 'SETTLED' AND s.settled_at >= span.starts), 0) AS high_usd,
       b.id AS budget_id,
       coalesce((SELECT sum(a.amount) FROM budget_adjustments a
                  WHERE a.budget_id = b.id AND a.reason LIKE %(reason)s), 0) AS adjusted_usd
FROM (VALUES ('daily', date_trunc('day', now(), 'UTC')),
             ('weekly', date_trunc('week', now(), 'UTC')),
             ('monthly', date_trunc('month', now(), 'UTC'))) AS span (period, starts)
LEFT JOIN cost_budgets b ON b.budget_type = 'global' AND b.scope_key = '*'
      AND b.budget_period = span.period AND b.period_start = span.starts AND b.time_zone = 'UTC'
LEFT JOIN model_selections s ON s.sent_at IS NOT NULL
      AND s.created_at >= span.starts - interval '2 hours'
      AND s.sent_at >= span.starts - interval '1 hour'
GROUP BY span.period, span.starts, b.id
ORDER BY span.starts DESC, span.period
"""


async def ledger_spans(database: Database) -> dict[str, LedgerSpan]:
    """Return the current spans by period."""
    async with database.patient_transaction() as connection:
        rows = await (await connection.execute(SPANS, {"reason": f"{REASON}%"})).fetchall()
    return {row["period"]: LedgerSpan(**row) for row in rows}


@contextlib.asynccontextmanager
async def one_comparer(database: Database) -> AsyncIterator[None]:
    """Keep others from correcting at the same time, for a moment without foreign calls."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        yield
