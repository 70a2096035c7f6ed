"""How long it takes to learn from 1,000,000 selections, from nothing and when a little changed.

`python -m benchmarks.learning.recompute [--selections N]`
An embedded PostgreSQL of its own; the rows are made in SQL: thirty days, four policies, twelve task
types, ten models, one attempt in ten failed, one in twenty the second one after a rejected answer,
one decision in a hundred scored.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from deployments.postgres import running_postgres
from tasks.adapters.database import Database, open_database
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.store.outcomes import recompute
from tasks.adapters.store.posteriors import read_kinds, read_posteriors

FILL = """
-- Number n is its decision; one in twenty has a rejected first attempt beside it.
CREATE TEMP TABLE planned AS
SELECT n, gen_random_uuid() AS decision_id, n % 12 AS kind, n % 3 AS hard,
       now() - (({rows} * 20 / 21 - n)::float8 / {rows}) * interval '30 days' AS at,
       (n % 12) / 3 AS policy, hashint4(n) & 2147483647 AS dice
  FROM generate_series(1, {rows} * 20 / 21) AS n;
INSERT INTO routing_decisions (id, request_hash, policy_name, task_type, complexity, status,
                               created_at)
SELECT decision_id, 'h', 'policy' || policy, 'type' || kind, 'moderate', 'completed', at
  FROM planned WHERE n % 100 = 0;
INSERT INTO decision_feedback (decision_id, score, created_at)
SELECT decision_id, (dice % 5) / 4.0, at FROM planned WHERE n % 100 = 0;
INSERT INTO model_selections (
    policy_name, selected_model, selected_provider, estimated_cost, actual_cost, tokens_used,
    response_time_ms, success, created_at, decision_id, attempt_no, idempotency_key, request_hash,
    state, owner, token, lease_expires_at, budget_ids, hold_amounts, task_type, complexity,
    prompt_tokens, completion_tokens, sent_at, settled_at, settle_source, outcome, error_kind,
    finish_reason, response)
SELECT 'policy' || p.policy, 'maker/model' || (p.policy * 2 + p.dice / 7 % 4),
       'provider' || p.dice % 2, 0.01, (p.dice % 997 + 1) * 0.000001, 800, 300 + p.dice % 4000,
       a.no = a.last AND p.dice % 10 > 0, p.at + a.no * interval '1 second', p.decision_id, a.no,
       p.decision_id || '/' || a.no, 'h', 'SETTLED', 'bench', p.decision_id, p.at, '{{}}', '{{}}',
       'type' || p.kind, (ARRAY['simple', 'moderate', 'complex'])[p.hard + 1], 500, 300, p.at,
       p.at + interval '2 seconds', 'usage',
       CASE WHEN a.no < a.last THEN 'rejected_answer' WHEN p.dice % 10 > 0 THEN 'ok'
            ELSE 'failed' END,
       CASE WHEN a.no < a.last THEN 'answer_rejected' WHEN p.dice % 10 = 0 THEN 'busy' END,
       'stop', jsonb_build_object('content', repeat('word ', 40))
  FROM planned p
 CROSS JOIN LATERAL (SELECT 1 + (p.n % 20 = 0)::int AS last) AS l
 CROSS JOIN LATERAL (SELECT no, l.last FROM generate_series(1, l.last) AS no) AS a
 ORDER BY p.at;
"""

CHANGE = """
-- What an hour brings: 1,400 settled attempts of now, and 50 scores of old decisions.
UPDATE model_selections SET settled_at = clock_timestamp()
WHERE created_at > now() - interval '1 hour';
UPDATE decision_feedback SET score = 1 - score, created_at = clock_timestamp()
WHERE id IN (SELECT id FROM decision_feedback ORDER BY id LIMIT {scores});
"""


def main() -> None:
    """Fill a database, and print what each kind of run takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--selections", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, running_postgres(Path(home)) as server:
        server.ensure_database("learning")
        url = server.url("learning")
        upgrade_database(url)
        began = time.perf_counter()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL.format(rows=options.selections).encode())
            connection.execute("VACUUM ANALYZE")
        print(f"filled in {time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
        asyncio.run(_measure(url))


async def _measure(url: str) -> None:
    async with open_database(url) as database:

        async def count() -> Any:
            async with database.patient_transaction() as connection:
                query = "SELECT count(*), sum(actual_cost) FROM model_selections"
                return await (await connection.execute(query)).fetchall()

        async def everything() -> object:
            return await recompute(database, everything=True)

        async def changes() -> object:
            return await recompute(database)

        async def learn() -> object:
            now = datetime.now(UTC)
            posteriors, kinds = (
                await read_posteriors(database, now),
                await read_kinds(database, now),
            )
            return f"{len(posteriors.cells)} cells, {sum(map(len, kinds.values()))} kinds"

        print(await _timed("count and sum of all rows", count))
        print(await _timed("everything, from nothing", everything))
        print(await _timed("everything, once more", everything))
        print(await _timed("nothing changed", changes))
        await _change(database, 0)
        print(await _timed("an hour's outcomes", changes))
        await _change(database, 50)
        print(await _timed("an hour's outcomes and 50 scores of old ones", changes))
        print(await _timed("reading what is known", learn))


async def _change(database: Database, scores: int) -> None:
    async with database.patient_transaction() as connection:
        await connection.execute(CHANGE.format(scores=scores).encode())


async def _timed(what: str, call: Callable[[], Awaitable[object]]) -> str:
    began = time.perf_counter()
    found = await call()
    took = time.perf_counter() - began
    return f"{what}: {took:.2f} s (load {os.getloadavg()[0]:.1f}) {found}"


if __name__ == "__main__":
    main()
