"""CPU of the HTTP front alone: directly and with llhttp, beside FastAPI's layers and h11.

    python -m benchmarks.api.front

The routing is a fixed answer. Both servers take turns under wrk, one process each; what counts is
the ratio of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.routing import Route
from starlette.types import ASGIApp

from benchmarks.api.run import load
from deployments.api.access import KeyRing
from deployments.api.application import create_application, routed
from deployments.api.gate import Gate
from deployments.api.guard import CHAT_PATH, Guard
from deployments.api.metrics import Metrics
from deployments.api.options import ServeOptions
from deployments.api.service import listening_socket
from deployments.api.state import ApiState
from deployments.api.wire import HttpProtocol
from models.result import RoutingResult, Status
from tasks.adapters.spans import Spans

RESULT = RoutingResult(
    decision_id=uuid.UUID(int=1),
    status=Status.COMPLETED,
    task_type="simple_query",
    complexity="simple",
    policy="default",
    policy_version=1,
    model="openai/gpt-4o-mini",
    content="All checks pass.",
    cost_usd=Decimal("0.0000051"),
    estimated_cost_usd=Decimal("0.0001"),
)


class FixedLanes:
    """Answers every request at once."""

    def choose(self, asked: str | None) -> str:
        """Return the lane."""
        return "ledger"

    async def run(self, request: Any, trace: str, *, sink: Any = None) -> RoutingResult:
        """Return the answer, after one turn of the loop."""
        await asyncio.sleep(0)
        return RESULT


def state() -> ApiState:
    """Return what the front needs, without a database."""
    options = ServeOptions(lane="ledger")
    opened: Any = SimpleNamespace(spans=Spans())
    nowhere: Any = None
    lanes: Any = FixedLanes()
    keys = KeyRing(nowhere, None, open_to_all=True)
    return ApiState(opened, options, keys, Gate(256, None), lanes, Metrics())


def layered(of: ApiState) -> ASGIApp:
    """Return the application in which no route is direct."""
    never = Route(CHAT_PATH, routed(of), methods=[])
    return Guard(
        routed(of),
        direct=never,
        keys=of.keys,
        gate=of.gate,
        options=of.options,
        metrics=of.metrics,
    )


def serve(kind: str, port: int) -> None:
    """Serve until killed."""
    app = create_application(state()) if kind == "direct" else layered(state())
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=HttpProtocol if kind == "direct" else "h11",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
    )
    uvicorn.Server(config).run([listening_socket(ServeOptions(port=port))])


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def wait_until_it_answers(url: str) -> None:
    """Ask until there is an answer."""
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} does not answer")


def measure(port: int, rounds: int, seconds: int) -> None:
    """Load both in turns and print what each took."""
    kinds = {"layered": port, "direct": port + 1}
    found: dict[str, dict[int, list[float]]] = {kind: {1: [], 8: []} for kind in kinds}
    command = [sys.executable, "-m", "benchmarks.api.front", "--serve"]
    running = {
        kind: subprocess.Popen([*command, kind, "--port", str(at)]) for kind, at in kinds.items()
    }
    try:
        for _ in range(rounds):
            for kind, at in kinds.items():
                url = f"http://127.0.0.1:{at}"
                wait_until_it_answers(url)
                for connections, taken in found[kind].items():
                    before = cpu_s(running[kind].pid)
                    rate, _ = load(url, connections, seconds)
                    used_s = cpu_s(running[kind].pid) - before
                    taken.append(used_s / (rate * seconds) * 1e6)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    for connections in (1, 8):
        old, new = (statistics.median(found[kind][connections]) for kind in kinds)
        print(
            f"{connections} connections: {old:.0f} us layered, {new:.0f} us direct, {new / old:.2f}"
        )
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def main() -> None:
    """Read the command line."""
    line = argparse.ArgumentParser(prog="python -m benchmarks.api.front")
    line.add_argument("--serve", choices=("layered", "direct"))
    line.add_argument("--port", type=int, default=18960)
    line.add_argument("--rounds", type=int, default=5)
    line.add_argument("--seconds", type=int, default=2)
    options = line.parse_args()
    if options.serve is not None:
        serve(options.serve, options.port)
    else:
        measure(options.port, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
