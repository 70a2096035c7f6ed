"""Three workers of very unequal demand under an upstream that takes 60 calls a minute.

`python -m benchmarks.limits.run [--seconds 90] [--requests 60] [--window 60]`
Once with the limit set, once with nothing known of it: then the first 429 teaches it. Each worker
is a process; the upstream is a simulator that refuses honestly, with a sliding window.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from deployments.postgres import running_postgres
from deployments.preparation import prepared_runtime
from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator
from models.rate_limit import LimitOrder
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.settings import Settings
from tasks.adapters.store.limits import read_limits, set_limit
from tasks.adapters.store.policies import apply_policies, read_policy

DEMAND = {"greedy": 30, "modest": 3, "other": 3}
CHAT = "/api/v1/chat/completions"


def main() -> None:
    """Print one line a scene."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--seconds", type=float, default=90)
    line.add_argument("--requests", type=int, default=60)
    line.add_argument("--window", type=float, default=60)
    options = line.parse_args()
    config = SimulatorConfig(
        latency_scale=0, account_requests=options.requests, rate_window_s=options.window
    )
    with tempfile.TemporaryDirectory(prefix="limits-") as home, running_postgres(Path(home)) as pg:
        for scene, known in (("set", True), ("learned", False)):
            pg.ensure_database(scene)
            upgrade_database(pg.url(scene))
            with running_simulator(config) as upstream:
                environment = os.environ | {
                    "DATABASE_URL": pg.url(scene),
                    "SWITCHYARD_SIMULATOR_URL": upstream.url,
                    "SWITCHYARD_HOME": home,
                }
                order = LimitOrder(model="*", requests=options.requests, period_s=options.window)
                asyncio.run(_prepare(environment, order if known else None))
                ended = _fleet(environment, options.seconds)
                _tell(scene, upstream, ended, options.seconds)
                asyncio.run(_tell_limits(environment))


def _settings(environment: dict[str, str]) -> Settings:
    return Settings(
        openrouter_api_key=None,
        openrouter_base_url=None,
        database_url=environment["DATABASE_URL"],  # type: ignore[arg-type]  # pydantic reads it
        switchyard_simulator_url=environment["SWITCHYARD_SIMULATOR_URL"],
        switchyard_home=Path(environment["SWITCHYARD_HOME"]),
    )


async def _prepare(environment: dict[str, str], order: LimitOrder | None) -> None:
    """Let calls wait as long as it takes, and set the limit where it is known."""
    async with prepared_runtime(_settings(environment)) as opened:
        policy = await read_policy(opened.database, "ops")
        patient = policy.model_copy(update={"limit_wait_s": 3600.0})
        await apply_policies(opened.database, [patient], source="person", reason="benchmark")
        if order is not None:
            await set_limit(opened.database, opened.limits.account, order)


def _fleet(environment: dict[str, str], seconds: float) -> dict[str, dict[str, int]]:
    """Run all workers from the same moment on; return how the requests of each ended."""
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.limits.worker", name, str(callers), str(seconds)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, callers in DEMAND.items()
    }
    for worker in workers.values():
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return {name: json.loads(worker.communicate()[0]) for name, worker in workers.items()}


def _tell(
    scene: str, upstream: RunningSimulator, ended: dict[str, dict[str, int]], seconds: float
) -> None:
    answers = upstream.simulator.answers
    asked = sum(count for name, count in answers.items() if name.startswith(CHAT))
    refused = answers[f"{CHAT} 429"]
    done = {name: statuses.get("completed", 0) for name, statuses in ended.items()}
    spread = max(done.values()) / max(1, min(done.values())) - 1
    print(
        f"{scene}: {asked} calls in {seconds:g} s, {refused} answered 429"
        f" ({refused / max(1, asked):.1%}); completed {done}, spread {spread:.0%}; ends {ended}"
        f"; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


async def _tell_limits(environment: dict[str, str]) -> None:
    async with prepared_runtime(_settings(environment)) as opened:
        for limit in await read_limits(opened.database, opened.limits.account):
            print(f"  {limit.model_dump_json()}", flush=True)


if __name__ == "__main__":
    main()
