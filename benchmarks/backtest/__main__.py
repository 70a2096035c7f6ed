"""Backtest calibration: does the stated 90 % interval hold the true value?

    python -m benchmarks.backtest [--data DIR] [--resamples 100] [--out FILE.md]

A present rule routes requests drawn from a population in which every model's outcome is known, and
explores with known propensity; the product's own estimate then says what a changed rule would have
brought, and is compared with the truth. Populations are made ones, and with `--data` recorded ones.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.backtest.calibration import Coverage, Setting, coverage, targets
from benchmarks.backtest.world import recorded, synthetic

SETTINGS = (
    Setting(1000, 0.05),
    Setting(1000, 0.2),
    Setting(3000, 0.2),
    Setting(1000, 0.2, chain=True),
    Setting(1000, 0.0),  # no exploration: what no record can answer, stated as such
)
TARGET = 85


def main() -> None:
    """Run the benchmark; print the table, and write it to `--out`."""
    options = _options()
    rows = []
    worlds = [synthetic(seed=1), *(recorded(options.data) if options.data else ())]
    for world in (one for one in worlds if options.only in one.name):
        for setting in SETTINGS:
            for target in targets(world):
                started = time.perf_counter()
                found = coverage(world, setting, target, resamples=options.resamples, seed=7)
                rows.append(found)
                took = time.perf_counter() - started
                print(f"{world.name} {setting} {target}: {found.held}, {took:.1f} s",
                      file=sys.stderr)  # fmt: skip
    text = "\n".join(_lines(rows))
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")


def _lines(rows: list[Coverage]) -> Iterator[str]:
    yield "| data | decisions | explored | way | changed rule | truth | held | width | bias |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        setting = row.setting
        yield (
            f"| {row.world} | {setting.decisions} | {setting.share:.0%} |"
            f" {'chain' if setting.chain else 'single'} | {row.target} | {row.truth:.3f} |"
            f" {row.held} of {row.resamples} | {row.width:.3f} | {row.bias:+.4f} |"
        )
    explored = [row for row in rows if row.setting.share]
    met = [row for row in explored if row.held >= TARGET / 100 * row.resamples]
    yield ""
    yield f"{len(met)} of {len(explored)} settings with exploration reach {TARGET} of 100."


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Backtest calibration.")
    parser.add_argument("--data", type=Path, help="folder of recorded outcomes")
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--only", default="", help="part of the names of data to run")
    parser.add_argument("--out", type=Path, help="file for the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
