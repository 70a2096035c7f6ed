"""Routing bench v1: what the product's own rules earn on recorded outcomes of real models.

    python -m benchmarks.routing --data DIR [--seeds 5] [--out DIR] [--only pair,many,online,time]

Every class, estimate, order, chain and plan is the product's (`models/`); only outcomes are
recorded ones. Splits are 50/20/30 by SHA-1 of the prompt's id, thresholds are set on the dev part,
intervals are 95 % bootstrap intervals over prompts. One thread, no network.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.routing.datasets import llm_router, mix, mmlu_pro, pair
from benchmarks.routing.many import measure_many
from benchmarks.routing.pair import pair_rows
from benchmarks.routing.plot import picture
from benchmarks.routing.report import many_section, online_section, pair_section, time_section
from benchmarks.routing.scenarios import measure_online
from benchmarks.routing.targets import targets_section
from benchmarks.routing.timing import measure_times

T = TypeVar("T")
PARTS = ("pair", "many", "online", "time")


def main() -> None:
    """Run the benchmark; print the report, and write it with its pictures to `--out`."""
    options = _options()
    started = time.perf_counter()
    sections, pictures = _sections(options.data, options.seeds, options.only)
    minutes = (time.perf_counter() - started) / 60
    title = f"# Routing bench v1\n\n{options.seeds} seeds, {minutes:.1f} minutes, one thread.\n"
    report = "\n".join([title, *sections])
    print(report)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "report.md").write_text(report, encoding="utf-8")
        for name, svg in pictures.items():
            (options.out / f"{name}.svg").write_text(svg, encoding="utf-8")


def _sections(folder: Path, seeds: int, only: frozenset[str]) -> tuple[list[str], dict[str, str]]:
    mixed, pictures = mix(folder), {}
    pairs = _told("two models", lambda: pair_rows(folder, seeds)) if "pair" in only else []
    many = []
    for data in (mixed, mmlu_pro(folder), llm_router(folder)) if "many" in only else ():
        found = _told(data.name, partial(measure_many, data, seeds))
        many.append(found)
        pictures[data.name] = picture(f"{data.name}, test part of seed 0", found.curves)
    online = _told("online", lambda: measure_online(mixed, seeds)) if "online" in only else None
    times, network = (
        _told("times", lambda: measure_times(mixed, pair(folder, "mmlu")))
        if "time" in only
        else ([], 0)
    )
    sections = [pair_section(pairs)] if pairs else []
    sections += [many_section(one) for one in many]
    sections += [online_section(online)] if online else []
    sections += [time_section(times, network)] if times else []
    if pairs and many and online and times:
        sections.insert(0, targets_section(pairs, many[0], online, times))
    return sections, pictures


def _told(name: str, measure: Callable[[], T]) -> T:
    started = time.perf_counter()
    found = measure()
    print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Routing bench v1.")
    parser.add_argument("--data", type=Path, required=True, help="folder of recorded outcomes")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for report.md and the pictures")
    parser.add_argument(
        "--only",
        type=lambda text: frozenset(text.split(",")) & frozenset(PARTS),
        default=frozenset(PARTS),
        help=f"parts, of {', '.join(PARTS)}",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
