"""What a decision costs beside a plain Prefect flow of five empty tasks, in one run.

    python benchmarks/overhead/decision.py [--runs 10] [--at-once 8] [--rounds 3]

All run in this process against one Prefect server, in turn (A B C A B C ...), with an upstream
without latency. The decision's database work is included. Ratios are to the plain flow of the same
round, and their median is printed: of time and CPU below 1 the decision is cheaper, of rates above
1 it is faster. CPU is that of this process and of Prefect's server for one run; it says more than
the clock on a machine that others use. The lane ledger runs as the API runs it, with its writes
gathered; `sampled 0.1` sends every tenth decision through the lane flow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from deployments.cli.output import print_table, say
from deployments.simulator import SimulatorConfig, running_simulator
from deployments.system import running_parts
from tasks.adapters.settings import Settings

FLOW, SAMPLED = "decision, lane flow", "decision, sampled 0.1"
WITH_CLIENT = (FLOW, SAMPLED)
QUIET_CPU_S = 0.1  # in 1.5 s; idle it uses half of that


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run took: on the clock, and of processors."""

    wall_s: float
    cpu_s: float


Run = Callable[[int], Awaitable[object]]


async def measured(
    settings: Settings, runs: int, at_once: int, rounds: int
) -> list[tuple[object, ...]]:
    """Return the rows of the table."""
    from prefect import flow, task

    from deployments.lanes import run_in_lane
    from deployments.preparation import prepared_runtime
    from flows.decision import route
    from models.decision import Caller
    from models.request import RoutingRequest
    from tasks.gathered_steps import FreshReads, gathered_steps

    reads = FreshReads()

    @task
    async def empty() -> None:
        return None

    @flow(name="five-empty-tasks")
    async def plain() -> None:
        for _ in range(5):
            await empty()

    async def decision(trace: str, number: int) -> object:
        request = RoutingRequest(prompt=f"Is service {number} up?", task_type="simple_query")
        if trace == "flow":
            return await run_in_lane(request, trace)
        caller = Caller(key=f"run:{uuid4()}", trace="ledger", flow_run_id=None, owner="bench")
        return await route(request, caller, gathered_steps(reads))

    kinds: dict[str, Run] = {
        "plain flow, five empty tasks": lambda _number: plain(),
        FLOW: lambda number: decision("flow", number),
        SAMPLED: lambda number: decision("ledger" if number % 10 else "flow", number),
        "decision, lane ledger": lambda number: decision("ledger", number),
    }
    async with prepared_runtime(settings):
        single = await _in_turn(kinds, rounds, runs)
        return _rows(single, await _at_once(kinds, runs * 4, at_once, rounds))


async def _in_turn(kinds: dict[str, Run], rounds: int, runs: int) -> dict[str, list[Spent]]:
    """Return, per round, what a run takes: the median on the clock, the mean of processors.

    A block of runs of one kind, then of the next. Prefect's server works on after a run has ended,
    so each block begins when it is quiet, and its CPU is counted until it is quiet again.
    """
    spent = {name: list[Spent]() for name in kinds}
    for _ in range(rounds):
        for name, run in kinds.items():
            async with _surroundings(name):
                await run(0)  # the client's first connection
                await _quiet()
                before_s = _server().cpu_s() + time.process_time()
                seconds = [await _timed(run, number) for number in range(runs)]
                await _quiet()
                cpu_s = _server().cpu_s() + time.process_time() - before_s
            spent[name].append(Spent(statistics.median(seconds), cpu_s / runs))
    return spent


async def _quiet() -> None:
    """Wait until Prefect's server has nothing left to do."""
    used_s = _server().cpu_s()
    while True:
        await asyncio.sleep(1.5)
        before_s, used_s = used_s, _server().cpu_s()
        if used_s - before_s < QUIET_CPU_S:
            return


async def _at_once(kinds: dict[str, Run], runs: int, at_once: int, rounds: int) -> dict[str, float]:
    """Return the median of the ratios of each kind's runs per second to the first kind's."""
    ratios = {name: list[float]() for name in kinds}
    for _ in range(rounds):
        rates = {}
        for name, run in kinds.items():
            async with _surroundings(name):
                rates[name] = await _rate(run, runs, at_once)
        for name, rate in rates.items():
            ratios[name].append(rate / next(iter(rates.values())))
    return {name: statistics.median(found) for name, found in ratios.items()}


@contextlib.asynccontextmanager
async def _surroundings(name: str) -> AsyncIterator[None]:
    """Give decisions the process's one Prefect client, as worker and API do; a plain flow none."""
    from deployments.lanes import flow_lane

    async with flow_lane() if name in WITH_CLIENT else contextlib.nullcontext():
        yield


async def _timed(run: Run, number: int) -> float:
    started = time.perf_counter()
    await run(number)
    return time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Server:
    """Prefect's server, a child of this process."""

    pid: int

    def cpu_s(self) -> float:
        """Return the CPU time that it has used."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@functools.cache
def _server() -> Server:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return Server(next(pid for pid, line in lines.items() if b"prefect" in line))


async def _rate(run: Run, runs: int, at_once: int) -> float:
    """Return runs per second with `at_once` in flight."""
    waiting = iter(range(runs))

    async def lane() -> None:
        for number in waiting:
            await run(number)

    started = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return runs / (time.perf_counter() - started)


def _rows(single: dict[str, list[Spent]], rates: dict[str, float]) -> list[tuple[object, ...]]:
    base = next(iter(single.values()))
    rows: list[tuple[object, ...]] = []
    for name, found in single.items():
        pairs = list(zip(found, base, strict=True))
        rows.append(
            (
                name,
                round(statistics.median(one.wall_s for one in found) * 1000, 1),
                round(statistics.median(one.wall_s / plain.wall_s for one, plain in pairs), 2),
                round(statistics.median(one.cpu_s for one in found) * 1000, 1),
                round(statistics.median(one.cpu_s / plain.cpu_s for one, plain in pairs), 2),
                round(rates[name], 2),
            )
        )
    return rows


def main() -> None:
    """Run the benchmark below a temporary home."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--runs", type=int, default=10)
    line.add_argument("--at-once", type=int, default=8)
    line.add_argument("--rounds", type=int, default=3)
    options = line.parse_args()
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        config = SimulatorConfig(latency_scale=0, charge_log=Path(folder) / "charges.jsonl")
        with running_simulator(config) as simulator:
            settings = Settings(
                openrouter_api_key=None,
                openrouter_base_url=None,
                switchyard_simulator_url=simulator.url,
                switchyard_home=Path(folder) / "home",
            )
            with running_parts(settings, prefect=True, notify=say) as complete:
                rows = asyncio.run(
                    measured(complete, options.runs, options.at_once, options.rounds)
                )
    columns = ("run", "ms p50", "time ratio", "CPU ms", "CPU ratio", "rate ratio")
    print_table(columns, rows)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
