"""Items per second of a batch, beside one flow run an item and LiteLLM's batch, in one run.

    python benchmarks/batch/run.py [--lines 1000] [--rounds 3] [--concurrency 8]
        [--litellm PYTHON] [--memory 20000]

Everything runs against one simulator without latency on this machine, in turn (A B C A B C ...),
every line another prompt, our ledger on. PYTHON is the interpreter of a venv with LiteLLM.
`--memory N` also shows the peak memory of a batch of N lines beside one of `--lines`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deployments.child import running_child
from deployments.cli.output import print_table, say
from deployments.system import running_parts
from tasks.adapters.settings import Settings

HERE = Path(__file__).resolve().parent
MODEL = "openai/gpt-3.5-turbo"  # the first model of policy ops, which serves these lines


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a round runs and how large it is."""

    settings: Settings
    folder: Path
    lines: int
    concurrency: int
    flow_items: int
    litellm: str | None


def write_lines(path: Path, count: int, name: str) -> Path:
    """Write a file of `count` different requests."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            request = {"prompt": f"Is service {name}-{number} up?", "task_type": "simple_query"}
            file.write(json.dumps(request) + "\n")
    return path


async def batch_rate(scene: Scene, name: str, trace: str) -> float:
    """Return our batch's items per second, from the file to the last result line."""
    from deployments.batches import BatchOrder, run_batch

    source = write_lines(scene.folder / f"{name}.jsonl", scene.lines, name)
    out = scene.folder / f"{name}-{trace}.out.jsonl"
    order = BatchOrder(source, out, concurrency=scene.concurrency, trace=trace)
    started = time.perf_counter()
    _, counts = await run_batch(scene.settings, order, lambda counts: None)
    seconds = time.perf_counter() - started
    if counts.by_status != {"completed": scene.lines}:
        raise SystemExit(f"not all lines were answered: {counts}")
    return scene.lines / seconds


async def flow_rate(scene: Scene, name: str) -> float:
    """Return the items per second of one flow run an item, eight in flight."""
    from deployments.lanes import run_in_lane
    from deployments.preparation import prepared_runtime
    from models.request import RoutingRequest

    numbers: Iterator[int] = iter(range(scene.flow_items))

    async def lane() -> None:
        for number in numbers:
            prompt = f"Is service {name}-{number} up?"
            await run_in_lane(RoutingRequest(prompt=prompt, task_type="simple_query"), "flow")

    async with prepared_runtime(scene.settings):
        started = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(8)))
        return scene.flow_items / (time.perf_counter() - started)


def litellm_rate(scene: Scene, name: str) -> float:
    """Return LiteLLM's items per second; unanswered lines do not count."""
    source = write_lines(scene.folder / f"{name}.jsonl", scene.lines, name)
    command = [str(scene.litellm), str(HERE / "litellm_batch.py")]
    command += [str(scene.settings.upstream_url), MODEL, str(source)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    document = json.loads(told.stdout.splitlines()[-1])
    if document["good"] < scene.lines:
        say(f"LiteLLM {document['version']}: {document['good']} of {scene.lines} answered")
    return float(document["good"] / document["seconds"])


def measured(scene: Scene, rounds: int) -> dict[str, list[float]]:
    """Return every kind's rates, measured in turn."""
    rates: dict[str, list[float]] = {}
    for number in range(rounds + 1):  # round 0 warms up
        found = {
            "batch, lane flow": asyncio.run(batch_rate(scene, f"f{number}", "flow")),
            "batch, lane ledger": asyncio.run(batch_rate(scene, f"p{number}", "ledger")),
            "one flow run an item": asyncio.run(flow_rate(scene, f"i{number}")),
        }
        if scene.litellm is not None:
            found["LiteLLM abatch_completion"] = litellm_rate(scene, f"l{number}")
        say(f"round {number}: " + ", ".join(f"{k} {v:.0f}/s" for k, v in found.items()))
        for kind, rate in found.items() if number else ():
            rates.setdefault(kind, []).append(rate)
    return rates


def peak_memory_mb(scene: Scene, lines: int) -> float:
    """Return the peak resident memory of `switchyard batch` over so many lines, in MiB."""
    source = write_lines(scene.folder / f"m{lines}.jsonl", lines, f"m{lines}")
    out = scene.folder / f"m{lines}.out.jsonl"
    command = [sys.executable, "-m", "deployments.cli", "batch", str(source), "--out", str(out)]
    command += ["--trace", "flow", "--concurrency", str(scene.concurrency)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"the batch of {lines} lines ended with {status}")
    return usage.ru_maxrss / 1024


@contextlib.contextmanager
def quick_simulator(folder: Path) -> Iterator[str]:
    """Run a simulator without latency in a process of its own; yield its URL."""
    ready = folder / "simulator.json"
    arguments = ["--port", "0", "--latency-scale", "0", "--ready-file", str(ready)]
    arguments += ["--charge-log", str(folder / "charges.jsonl")]
    with running_child(
        "deployments.simulator", arguments, environment=os.environ, log_file=folder / "log"
    ):
        while not ready.exists():
            time.sleep(0.05)
        yield json.loads(ready.read_text(encoding="utf-8"))["url"]


def rows_of(rates: dict[str, list[float]]) -> list[tuple[object, ...]]:
    """Return the table: medians, spread, and how many times faster our batch is, round by round."""
    ours = rates["batch, lane flow"]
    rows: list[tuple[object, ...]] = []
    for kind, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(ours, found, strict=True))
        rows.append(
            (
                kind,
                round(statistics.median(found), 1),
                f"{min(found):.0f} to {max(found):.0f}",
                round(ratio, 2),
            )
        )
    return rows


def main() -> None:
    """Run the benchmark below a temporary home."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--lines", type=int, default=1000)
    line.add_argument("--rounds", type=int, default=3)
    line.add_argument("--concurrency", type=int, default=8)
    line.add_argument("--flow-items", type=int, default=24)
    line.add_argument("--litellm", metavar="PYTHON")
    line.add_argument("--memory", type=int, metavar="LINES")
    options = line.parse_args()
    with tempfile.TemporaryDirectory(prefix="batch-") as name, quick_simulator(Path(name)) as url:
        settings = Settings(
            openrouter_api_key=None,
            openrouter_base_url=None,
            switchyard_simulator_url=url,
            switchyard_home=Path(name) / "home",
        )
        with running_parts(settings, prefect=True, notify=say) as complete:
            scene = Scene(
                complete,
                Path(name),
                options.lines,
                options.concurrency,
                options.flow_items,
                options.litellm,
            )
            rows = rows_of(measured(scene, options.rounds)) if options.rounds else []
            sizes = (options.lines, options.memory) if options.memory else ()
            peaks = [(size, round(peak_memory_mb(scene, size))) for size in sizes]
    if rows:
        print_table(("kind", "items/s, median", "least to most", "our batch is times faster"), rows)
    if peaks:
        print_table(("lines", "peak MiB"), peaks)


if __name__ == "__main__":
    main()
