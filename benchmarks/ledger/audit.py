"""How long the audit of 100,000 entries takes, as a multiple of one `SELECT sum()` over them.

`python -m benchmarks.ledger.audit [--entries N] [--share-capped 0..100]`
The entries are spread over 50 workers and, as far as they are capped, each has a balance row of its
own. Printed: medians of five runs.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from deployments.postgres import running_postgres
from tasks.adapters.database import open_database
from tasks.adapters.ledger import Ledger
from tasks.adapters.migrations import upgrade_database

FILL = """
INSERT INTO cost_budgets (budget_type, scope_key, budget_period, budget_amount, period_start)
SELECT 'worker', 'w' || number, 'once', 1000, 'epoch' FROM generate_series(0, 49) number;
INSERT INTO cost_budgets (budget_type, budget_period, budget_amount, period_start)
VALUES ('global', 'once', 1000, 'epoch');
CREATE TEMP TABLE planned AS
SELECT number, gen_random_uuid() AS decision_id, number %% 100 < {capped} AS is_capped,
       number %% 50 = 0 AS is_open, (number %% 997 + 1) * 0.000001 AS cost
  FROM generate_series(1, {entries}) number;
INSERT INTO model_selections (
    selected_model, estimated_cost, actual_cost, decision_id, attempt_no, idempotency_key,
    request_hash, state, owner, token, lease_expires_at, budget_ids, hold_amounts, sent_at,
    settled_at, settle_source)
SELECT 'm', 0.001, CASE WHEN NOT is_open THEN cost END, decision_id, 1, decision_id || '/1', 'h',
       CASE WHEN is_open THEN 'SENT' ELSE 'SETTLED' END, 'bench', decision_id, now(),
       CASE WHEN is_capped THEN ARRAY[g.id, w.id, decision_id] ELSE ARRAY[g.id, w.id] END,
       CASE WHEN is_capped THEN ARRAY[0.001, 0.001, 0.001] ELSE ARRAY[0.001, 0.001] END,
       now(), CASE WHEN NOT is_open THEN now() END, CASE WHEN NOT is_open THEN 'usage' END
  FROM planned
  JOIN cost_budgets w ON w.scope_key = 'w' || number %% 50
 CROSS JOIN (SELECT id FROM cost_budgets WHERE budget_type = 'global') g;
INSERT INTO cost_budgets (id, budget_type, scope_key, budget_period, budget_amount, period_start)
SELECT decision_id, 'task', 'decision:' || decision_id, 'once', 1, 'epoch'
  FROM planned WHERE is_capped;
UPDATE cost_budgets b SET spent_amount = moved.spent, reserved_amount = moved.held
  FROM (SELECT part.id, sum(coalesce(s.actual_cost, 0)) AS spent,
               sum(CASE WHEN s.settled_at IS NULL THEN part.hold ELSE 0 END) AS held
          FROM model_selections s
         CROSS JOIN LATERAL unnest(s.budget_ids, s.hold_amounts) AS part (id, hold)
         GROUP BY part.id) moved
 WHERE b.id = moved.id;
"""


def main() -> None:
    """Fill a database, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--share-capped", type=int, nargs="+", default=[0, 100])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, running_postgres(Path(home)) as server:
        for capped in options.share_capped:
            server.ensure_database(f"audit{capped}")
            url = server.url(f"audit{capped}")
            upgrade_database(url)
            with psycopg.connect(url, autocommit=True) as connection:
                fill = FILL.replace("%%", "%").format(capped=capped, entries=options.entries)
                connection.execute(fill.encode())
                connection.execute("VACUUM ANALYZE")
            asyncio.run(_measure(url, capped))


async def _measure(url: str, capped: int) -> None:
    async with open_database(url) as database:
        ledger = Ledger(database)
        report = await ledger.audit()
        if not report.is_clean:
            raise SystemExit(f"the filled ledger is not clean: {report.differences[:3]}")

        async def sum_up() -> object:
            return await database.fetch_one("SELECT sum(actual_cost) FROM model_selections")

        sum_ms = await _median_ms(sum_up)
        audit_ms = await _median_ms(ledger.audit)
        print(
            f"{report.entries} entries, {capped} % with a cap of their own, {report.balances}"
            f" balances: audit {audit_ms:.0f} ms, one sum() {sum_ms:.0f} ms,"
            f" ratio {audit_ms / sum_ms:.1f}"
        )


async def _median_ms(call: Callable[[], Awaitable[object]]) -> float:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


if __name__ == "__main__":
    main()
