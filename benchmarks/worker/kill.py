"""kill -9 of a warm worker with 20 paid requests in flight, held against the charge log.

`python -m benchmarks.worker.kill [--requests 20]` starts everything it needs, waits until every
request has been sent upstream, kills the worker, starts another, and prints how each run ended and
after how many seconds; exit 1 when a run did not end within its lease + 90 s, when an attempt was
dispatched twice, or when the ledger's audit is not clean.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from benchmarks.worker.scene import ROOT, create_pool, postgres_scene
from deployments.preparation import prepared_runtime
from deployments.simulator import SimulatorConfig, running_simulator
from tasks.adapters.runtime import open_runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store import policies

REQUEST_TIMEOUT_S = 30.0
SENT_LEASE_S = REQUEST_TIMEOUT_S + 60
ALLOWED_S = SENT_LEASE_S + 90
LATENCY_SCALE = 25.0  # so that every request is still in flight when the worker is killed
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
ATTEMPT = "switchyard_attempt"
WORKER = "from deployments.worker.start import run_worker; run_worker(limit=64, drain_s=5)"


@dataclass(frozen=True)
class Runs:
    """The flow runs of one deployment, by plain HTTP."""

    http: httpx.Client
    deployment_id: str

    def trigger(self, number: int) -> str:
        """Trigger one request and return the flow run's id."""
        request = {"prompt": f"Say hello to number {number}", "max_tokens": 20}
        body = {"parameters": {"request": request}}
        path = f"/deployments/{self.deployment_id}/create_flow_run"
        return str(self.http.post(path, json=body).raise_for_status().json()["id"])

    def ended(self, ids: list[str]) -> dict[str, str]:
        """Return the state names of the runs that have ended."""
        body = {"flow_runs": {"id": {"any_": ids}}}
        runs = self.http.post("/flow_runs/filter", json=body).raise_for_status().json()
        return {run["id"]: run["state_name"] for run in runs if run["state_type"] in ENDED}


def main() -> None:
    """Set the scene, kill, wait, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20)
    requests = parser.parse_args().requests
    with ExitStack() as parts:
        home, postgres, http, environment = parts.enter_context(postgres_scene())
        config = SimulatorConfig(latency_scale=LATENCY_SCALE, charge_log=home / "charges.jsonl")
        simulator = parts.enter_context(running_simulator(config))
        postgres.ensure_database("ledger")
        settings = Settings(
            database_url=SecretStr(postgres.url("ledger")),
            switchyard_home=home,
            switchyard_simulator_url=simulator.url,
            switchyard_request_timeout_s=REQUEST_TIMEOUT_S,
        )
        asyncio.run(_prepare(settings))
        environment |= {
            "DATABASE_URL": settings.database_dsn,
            "SWITCHYARD_HOME": str(home),
            "SWITCHYARD_SIMULATOR_URL": simulator.url,
            "SWITCHYARD_REQUEST_TIMEOUT_S": str(REQUEST_TIMEOUT_S),
        }
        runs = Runs(http, _deploy(http, environment))
        took, states = kill_in_flight(runs, settings, environment, requests)
        times = Counter(charge.metadata[ATTEMPT] for charge in simulator.charges)
        sys.exit(0 if report(took, states, requests, times, asyncio.run(_audit(settings))) else 1)


def kill_in_flight(
    runs: Runs, settings: Settings, environment: dict[str, str], requests: int
) -> tuple[list[float], Counter[str]]:
    """Return the seconds from the kill to each run's end, and how the runs ended."""
    with worker_process(environment) as first:
        with ThreadPoolExecutor(8) as triggers:
            ids = list(triggers.map(runs.trigger, range(requests)))
        in_flight = asyncio.run(_wait_for_sent(settings, requests))
        first.kill()
        killed_at = time.monotonic()
    print(f"killed with {in_flight} attempts in flight, {len(runs.ended(ids))} runs ended before")
    took: dict[str, float] = {}
    with worker_process(environment):
        while len(took) < requests and time.monotonic() - killed_at < ALLOWED_S:
            time.sleep(0.5)
            for flow_run_id in runs.ended(ids):
                took.setdefault(flow_run_id, time.monotonic() - killed_at)
    return list(took.values()), Counter(runs.ended(ids).values())


@contextmanager
def worker_process(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a warm worker; stop it at the end if it still runs."""
    worker = subprocess.Popen([sys.executable, "-c", WORKER], env=environment, cwd=ROOT)
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(60)


def report(
    took: list[float], states: Counter[str], requests: int, times: Counter[str], is_clean: bool
) -> bool:
    """Print the figures and return whether all is well."""
    twice = sum(count > 1 for count in times.values())
    print(f"{len(took)} of {requests} runs ended: {dict(states)}")
    if took:
        print(f"seconds from the kill: p50 {statistics.median(took):.1f}, max {max(took):.1f}")
    print(f"charges {sum(times.values())}, attempts dispatched twice {twice}, audit {is_clean}")
    return len(took) == requests and twice == 0 and is_clean and "Crashed" not in states


async def _prepare(settings: Settings) -> None:
    """Make the database ready, with policies whose requests time out soon."""
    async with prepared_runtime(settings) as opened:
        hasty = [
            policy.model_copy(update={"timeout_s": REQUEST_TIMEOUT_S})
            for policy in await policies.read_policies(opened.database)
        ]
        await policies.apply_policies(opened.database, hasty, source="person", reason="end soon")


async def _wait_for_sent(settings: Settings, wanted: int) -> int:
    """Wait until so many attempts are out, or 60 s; return how many are."""
    out, deadline = 0, time.monotonic() + 60
    async with open_runtime(settings) as opened:
        while time.monotonic() < deadline:
            row = await opened.database.fetch_one(
                "SELECT count(*) AS sent FROM model_selections WHERE state = 'SENT'"
            )
            out = 0 if row is None else row["sent"]
            if out >= wanted:
                break
            await asyncio.sleep(0.05)
    return out


async def _audit(settings: Settings) -> bool:
    async with open_runtime(settings) as opened:
        return (await opened.ledger.audit()).is_clean


def _deploy(http: httpx.Client, environment: dict[str, str]) -> str:
    create_pool(http, "switchyard", "switchyard")
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    subprocess.run(command, env=environment, cwd=Path(ROOT), check=True, stdout=subprocess.DEVNULL)
    found = http.get("/deployments/name/route-request/default").raise_for_status().json()
    return str(found["id"])


if __name__ == "__main__":
    os.environ.pop("DATABASE_URL", None)
    main()
