"""How long `replay --all` takes over 10,000 decisions: each plan recomputed from its snapshot.

`python -m benchmarks.learning.replay [--decisions N]`
One request is really routed through the simulator for each default policy; its stored decision is
then multiplied in SQL. Printed: the whole replay, and beside it only reading the same documents.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr

from deployments.lanes import run_in_lane
from deployments.postgres import running_postgres
from deployments.preparation import prepared_runtime
from deployments.simulator import SimulatorConfig, running_simulator
from models.request import RoutingRequest
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.replays import REPLAY_PAGE, replay_decisions
from tasks.adapters.runtime import Runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store.decisions import planned_decisions

TASKS = ("fix_bug", "simple_query", "research", "summarize")
MULTIPLY = """
INSERT INTO routing_decisions (id, request_hash, policy_name, policy_version, task_type, complexity,
                               status, snapshot, plan, reasons, result, trace, created_at)
SELECT gen_random_uuid(), request_hash, policy_name, policy_version, task_type, complexity, status,
       snapshot, plan, reasons, result, trace, created_at
FROM routing_decisions CROSS JOIN generate_series(1, %(times)s)
"""


def main() -> None:
    """Make the decisions, replay them, print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=10_000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as home,
        running_postgres(Path(home)) as server,
        running_simulator(SimulatorConfig(latency_scale=0)) as simulator,
    ):
        server.ensure_database("replay")
        upgrade_database(server.url("replay"))
        settings = Settings(
            openrouter_api_key=None,
            openrouter_base_url=None,
            prefect_api_url=None,
            switchyard_api_key=None,
            database_url=SecretStr(server.url("replay")),
            switchyard_simulator_url=simulator.url,
            switchyard_home=Path(home),
        )
        asyncio.run(_measure(settings, options.decisions))


async def _measure(settings: Settings, decisions: int) -> None:
    async with prepared_runtime(settings) as opened:
        for task_type in TASKS:
            request = RoutingRequest(prompt="Say what this is about.", task_type=task_type)
            await run_in_lane(request, "ledger")
        times = decisions // len(TASKS) - 1
        async with opened.database.patient_transaction() as connection:
            await connection.execute(MULTIPLY, {"times": times})
        began = time.perf_counter()
        await _read(opened)
        read_s = time.perf_counter() - began
        began, busy = time.perf_counter(), time.process_time()
        report = await replay_decisions(opened, None)
        took_s, busy_s = time.perf_counter() - began, time.process_time() - busy
        print(
            f"{report.replayed} decisions, {report.identical} identical: {took_s:.2f} s, of which"
            f" reading {read_s:.2f} s; {busy_s:.2f} s of this process's CPU"
            f" (load {os.getloadavg()[0]:.1f})"
        )


async def _read(opened: Runtime) -> None:
    after = UUID(int=0)
    while rows := await planned_decisions(opened.database, after=after, limit=REPLAY_PAGE):
        after = rows[-1]["id"]


if __name__ == "__main__":
    main()
