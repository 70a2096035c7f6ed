"""Trigger to persisted result: the stock process worker against the warm worker, in one run.

`python -m benchmarks.worker [--warm 20] [--stock 3] [--json FILE]` starts everything it needs in a
temporary folder, interleaves the two, and prints a table; exit 1 when the warm worker is not 12
times faster or its median for one run is above 1.0 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from benchmarks.worker.scene import Pool, scene

RATIO_MIN = 12.0
WARM_P50_MAX_S = 1.0


def main() -> None:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", type=int, default=20, help="runs one by one, warm worker")
    parser.add_argument("--stock", type=int, default=3, help="runs one by one, stock worker")
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with scene() as (stock, warm):
        for pool in (stock, warm):
            pool.latencies_s(1)  # imports, byte code, connections
        figures = measure(stock, warm, asked.stock, asked.warm, asked.at_once)
    report(figures, asked.at_once)
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures, indent=2))
    sys.exit(0 if passes(figures) else 1)


def measure(
    stock: Pool, warm: Pool, stock_runs: int, warm_runs: int, at_once: int
) -> dict[str, list[float]]:
    """Return seconds by series; rounds of both workers take turns."""
    figures: dict[str, list[float]] = {"stock 1": [], "warm 1": [], "stock n": [], "warm n": []}
    for _ in range(stock_runs):
        figures["stock 1"] += stock.latencies_s(1)
        for _ in range(max(1, warm_runs // stock_runs)):
            figures["warm 1"] += warm.latencies_s(1)
    figures["stock n"] += stock.latencies_s(at_once)
    for _ in range(3):
        figures["warm n"] += warm.latencies_s(at_once)
    return figures


def report(figures: dict[str, list[float]], at_once: int) -> None:
    """Print one line a series."""
    print(f"{'series':<22}{'n':>4}{'min':>8}{'p50':>8}{'max':>8}  (seconds)")
    for name, seconds in figures.items():
        label = name.replace(" n", f", {at_once} at once").replace(" 1", ", one by one")
        print(
            f"{label:<22}{len(seconds):>4}{min(seconds):>8.2f}"
            f"{statistics.median(seconds):>8.2f}{max(seconds):>8.2f}"
        )
    for size in ("1", "n"):
        print(
            f"ratio of medians, {at_once if size == 'n' else 1} at once: {ratio(figures, size):.1f}"
        )


def ratio(figures: dict[str, list[float]], size: str) -> float:
    """Return how many times faster the warm worker is, by medians."""
    stock, warm = (statistics.median(figures[f"{kind} {size}"]) for kind in ("stock", "warm"))
    return stock / warm


def passes(figures: dict[str, list[float]]) -> bool:
    """Return whether both targets are met."""
    fast = statistics.median(figures["warm 1"]) <= WARM_P50_MAX_S
    return fast and ratio(figures, "1") >= RATIO_MIN


if __name__ == "__main__":
    main()
