"""What a decision costs beside a plain Prefect flow of five empty tasks, in one run.

    python benchmarks/overhead/decision.py [--runs 20] [--at-once 8]

Both run in this process against one Prefect server, in turn (A B A B ...), with an upstream without
latency. The decision's database work is included. Ratios are decision / plain flow for time and
plain flow / decision for rates turned round: above 1 the decision is faster.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from deployments.cli.output import print_table, say
from deployments.simulator import SimulatorConfig, running_simulator
from deployments.system import running_parts
from tasks.adapters.settings import Settings

FLOW = "decision, lane flow"
Run = Callable[[int], Awaitable[object]]


async def measured(settings: Settings, runs: int, at_once: int) -> list[tuple[object, ...]]:
    """Return the rows of the table."""
    from prefect import flow, task

    from deployments.lanes import run_in_lane
    from deployments.preparation import prepared_runtime
    from models.request import RoutingRequest

    @task
    async def empty() -> None:
        return None

    @flow(name="five-empty-tasks")
    async def plain() -> None:
        for _ in range(5):
            await empty()

    async def decision(trace: str, number: int) -> object:
        request = RoutingRequest(prompt=f"Is service {number} up?", task_type="simple_query")
        return await run_in_lane(request, trace)

    kinds: dict[str, Run] = {
        "plain flow, five empty tasks": lambda _number: plain(),
        FLOW: lambda number: decision("flow", number),
        "decision, lane ledger": lambda number: decision("ledger", number),
    }
    async with prepared_runtime(settings):
        return _rows(await _in_turn(kinds, runs), await _at_once(kinds, runs * 2, at_once))


async def _in_turn(kinds: dict[str, Run], runs: int) -> dict[str, list[float]]:
    """Return seconds of single runs; the first round warms up."""
    single = {name: list[float]() for name in kinds}
    for number in range(-1, runs):
        for name, run in kinds.items():
            async with _surroundings(name):
                seconds = await _timed(run, number)
            if number >= 0:
                single[name].append(seconds)
    return single


async def _at_once(kinds: dict[str, Run], runs: int, at_once: int) -> dict[str, float]:
    """Return runs per second of each kind."""
    rates = {}
    for name, run in kinds.items():
        async with _surroundings(name):
            rates[name] = await _rate(run, runs, at_once)
    return rates


@contextlib.asynccontextmanager
async def _surroundings(name: str) -> AsyncIterator[None]:
    """Give decisions the process's one Prefect client, as worker and API do; a plain flow none."""
    from deployments.lanes import flow_lane

    async with flow_lane() if name == FLOW else contextlib.nullcontext():
        yield


async def _timed(run: Run, number: int) -> float:
    started = time.perf_counter()
    await run(number)
    return time.perf_counter() - started


async def _rate(run: Run, runs: int, at_once: int) -> float:
    """Return runs per second with `at_once` in flight."""
    waiting = iter(range(runs))

    async def lane() -> None:
        for number in waiting:
            await run(number)

    started = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return runs / (time.perf_counter() - started)


def _rows(single: dict[str, list[float]], rates: dict[str, float]) -> list[tuple[object, ...]]:
    base_ms, base_rate = statistics.median(next(iter(single.values()))), next(iter(rates.values()))
    rows: list[tuple[object, ...]] = []
    for name, seconds in single.items():
        middle = statistics.median(seconds)
        rows.append(
            (
                name,
                round(middle * 1000, 1),
                round(max(seconds) * 1000, 1),
                round(middle / base_ms, 2),
                round(rates[name], 1),
                round(rates[name] / base_rate, 2),
            )
        )
    return rows


def main() -> None:
    """Run the benchmark below a temporary home."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--runs", type=int, default=20)
    line.add_argument("--at-once", type=int, default=8)
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
                rows = asyncio.run(measured(complete, options.runs, options.at_once))
    columns = ("run", "ms p50", "ms max", "time ratio", "per s at once", "rate ratio")
    print_table(columns, rows)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
