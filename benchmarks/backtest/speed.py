"""How long a backtest of many decisions takes, beside a replay of the same ones.

    python -m benchmarks.backtest.speed [--decisions 10000]

An embedded PostgreSQL of its own. A hundred requests are really routed (against the simulator),
then their decisions and attempts are copied with new ids over thirty days. The changed policy asks
another model first, so that every decision of its policy is selected again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from deployments.lanes import run_in_lane
from deployments.postgres import running_postgres
from deployments.preparation import prepared_runtime
from deployments.simulator import SimulatorConfig, running_simulator
from models.policy import Policy
from models.request import RoutingRequest
from tasks.adapters.backtests import backtest
from tasks.adapters.database import Database
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.replays import replay_decisions
from tasks.adapters.settings import Settings
from tasks.adapters.store.policies import read_policy

ROUTED = 100

COPY = """
CREATE TEMP TABLE copied AS
SELECT d.id AS old_id, gen_random_uuid() AS new_id,
       now() - random() * interval '29 days' AS at
FROM routing_decisions d CROSS JOIN generate_series(1, %(copies)s);
INSERT INTO routing_decisions
    (id, request_hash, policy_name, policy_version, task_type, complexity, status, snapshot, plan,
     reasons, trace, simulated, created_at)
SELECT c.new_id, d.request_hash, d.policy_name, d.policy_version, d.task_type, d.complexity,
       d.status, d.snapshot, d.plan, d.reasons, d.trace, d.simulated, c.at
FROM copied c JOIN routing_decisions d ON d.id = c.old_id;
INSERT INTO model_selections
    (policy_name, selected_model, estimated_cost, actual_cost, success, created_at, decision_id,
     attempt_no, idempotency_key, request_hash, state, owner, token, lease_expires_at, budget_ids,
     hold_amounts, prompt_tokens, completion_tokens, settled_at, outcome)
SELECT s.policy_name, s.selected_model, s.estimated_cost, s.actual_cost, s.success, c.at, c.new_id,
       s.attempt_no, c.new_id || '/' || s.attempt_no, s.request_hash, s.state, s.owner, s.token,
       s.lease_expires_at, '{}', '{}', s.prompt_tokens, s.completion_tokens, s.settled_at, s.outcome
FROM copied c JOIN model_selections s ON s.decision_id = c.old_id;
ANALYZE routing_decisions; ANALYZE model_selections
"""


def main() -> None:
    """Fill a database, and print what both take."""
    parser = argparse.ArgumentParser(description="Speed of a backtest.")
    parser.add_argument("--decisions", type=int, default=10_000)
    decisions = parser.parse_args().decisions
    with (
        tempfile.TemporaryDirectory() as home,
        running_postgres(Path(home)) as server,
        running_simulator(SimulatorConfig(latency_scale=0)) as simulator,
    ):
        server.ensure_database("backtest")
        upgrade_database(server.url("backtest"))
        settings = Settings(
            database_url=SecretStr(server.url("backtest")),
            switchyard_simulator_url=simulator.url,
            switchyard_home=Path(home),
        )
        asyncio.run(_measure(settings, decisions))


async def _measure(settings: Settings, decisions: int) -> None:
    async with prepared_runtime(settings) as opened:
        for number in range(ROUTED):
            request = RoutingRequest(prompt=f"Fix the loop number {number}.", task_type="fix_bug")
            await run_in_lane(request, "ledger")
        await _copy(opened.database, decisions // ROUTED - 1)
        print("made", decisions, "decisions", file=sys.stderr)
        until = datetime.now(UTC)
        started, worked = time.perf_counter(), time.process_time()
        changed = await _changed(opened.database)
        report = await backtest(opened.database, [changed], until - timedelta(days=31), until)
        backtest_s, backtest_cpu_s = time.perf_counter() - started, time.process_time() - worked
        started, worked = time.perf_counter(), time.process_time()
        replayed = await replay_decisions(opened, None)
        replay_s, replay_cpu_s = time.perf_counter() - started, time.process_time() - worked
    print(
        f"backtest of {report.decisions} decisions, {report.changed} of them selected anew:"
        f" {backtest_s:.1f} s ({backtest_cpu_s:.1f} s of CPU); replay of {replayed.replayed}:"
        f" {replay_s:.1f} s ({replay_cpu_s:.1f} s of CPU);"
        f" ratio {backtest_s / replay_s:.2f}"
    )


async def _copy(database: Database, copies: int) -> None:
    async with database.patient_transaction() as connection:
        for statement in COPY.split(";"):
            values = {"copies": copies} if "%(copies)s" in statement else None
            await connection.execute(statement, values)


async def _changed(database: Database) -> Policy:
    policy = await read_policy(database, "code")
    ids = [entry.model_id for entry in reversed(policy.ordered_models())]
    models = [{"model": model_id, "priority": n} for n, model_id in enumerate(ids, start=1)]
    return Policy.model_validate(policy.model_dump(mode="json") | {"models": models})


if __name__ == "__main__":
    main()
