"""How long the event loop is blocked by 8 runs at once, with and without a deployment.

`python -m benchmarks.worker.lag` prints JSON: the longest block in milliseconds of each round, for
flow runs called directly (the control) and for runs of a deployment in the warm worker.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any
from uuid import UUID

AT_ONCE = 8
ROUNDS = 3
TICK_S = 0.002


class Probe:
    """Ticks on the running loop and remembers the longest delay of a tick."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def tick(self) -> None:
        """Tick until cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self.longest_s = max(self.longest_s, time.perf_counter() - began - TICK_S)

    def take_ms(self) -> float:
        """Return the longest delay since the last call, in milliseconds."""
        longest_s, self.longest_s = self.longest_s, 0.0
        return round(longest_s * 1000, 1)


async def control() -> list[float]:
    """Return the longest block of each round of direct calls."""
    from prefect.context import AsyncClientContext

    from benchmarks.worker.flows import no_op

    probe = Probe()
    longest: list[float] = []
    async with AsyncClientContext():
        await no_op()
        ticking = asyncio.create_task(probe.tick())
        for _ in range(ROUNDS):
            await asyncio.sleep(1)
            probe.take_ms()
            await asyncio.gather(*(no_op(number) for number in range(AT_ONCE)))
            longest.append(probe.take_ms())
        ticking.cancel()
    return longest


def warm(pool: str, deployment_id: UUID) -> list[float]:
    """Return the longest block of each round of runs that a warm worker of this process ran."""
    from deployments.worker.worker import SwitchyardWorker

    probe = Probe()
    longest: list[float] = []

    class ProbedWorker(SwitchyardWorker):
        type = "switchyard-probed"

        async def setup(self) -> None:
            await super().setup()
            self.ticking = asyncio.create_task(probe.tick())

    async def serve() -> None:
        serving = asyncio.create_task(ProbedWorker(pool).start(printer=lambda *_: None))
        await asyncio.to_thread(trigger_rounds, deployment_id, probe, longest)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(serve())
    return longest


def trigger_rounds(deployment_id: UUID, probe: Probe, longest: list[float]) -> None:
    """Trigger each round and wait for it; the first run, which imports, does not count."""
    run_at_once(deployment_id, 1)
    for _ in range(ROUNDS):
        time.sleep(1)
        probe.take_ms()
        run_at_once(deployment_id, AT_ONCE)
        longest.append(probe.take_ms())


def run_at_once(deployment_id: UUID, runs: int) -> None:
    """Trigger so many runs of the deployment and wait until all have ended."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        ids = [client.create_flow_run_from_deployment(deployment_id).id for _ in range(runs)]
        for flow_run_id in ids:
            while not _is_done(client.read_flow_run(flow_run_id)):
                time.sleep(0.2)


def _is_done(flow_run: Any) -> bool:  # a FlowRun; Prefect is imported by then only
    return flow_run.state is not None and flow_run.state.is_final()


def main() -> None:
    """Measure inside this process: POOL and DEPLOYMENT_ID of the no-op flow, PREFECT_API_URL."""
    if len(sys.argv) == 3:
        pool, deployment_id = sys.argv[1:]
        figures = {"control_ms": asyncio.run(control()), "warm_ms": warm(pool, UUID(deployment_id))}
        print(json.dumps(figures))
        return
    from benchmarks.worker.scene import deploy, server_scene

    with server_scene() as (http, environment):
        command = [sys.executable, "-m", "benchmarks.worker.lag", "lag"]
        command.append(deploy(http, "lag", "switchyard").deployment_id)
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
