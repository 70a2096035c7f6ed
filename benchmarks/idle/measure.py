"""What an idle `switchyard up` costs: CPU seconds and memory, by part.

    python benchmarks/idle/measure.py [--settle 60] [--seconds 300] [--home HOME]

Measures the system that runs in HOME (default: SWITCHYARD_HOME). Linux only: reads /proc.
Memory is PSS, the resident memory with shared pages divided among their users, so that the sum
is what the machine really gives; RSS beside it counts shared pages again for every process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from deployments.up_file import read_up_file

TICKS = os.sysconf("SC_CLK_TCK")
PARTS = (
    ("deployments.simulator", "simulator"),
    ("prefect server start", "prefect"),
    ("deployments.cli worker", "worker"),
    ("deployments.cli serve", "api"),
    ("stop_postgres", "guard"),
    ("postgres", "postgres"),
)


@dataclass
class Cost:
    """What the processes of one part have used so far."""

    processes: int = 0
    cpu_s: float = 0.0
    pss_mb: float = 0.0
    rss_mb: float = 0.0


def part_of(pid: int, up_pid: int, home: Path) -> str | None:
    """Return the part that the process belongs to, or None."""
    if pid == up_pid:
        return "up"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return None
    named = str(home) in command or f"SWITCHYARD_HOME={home}" in environment
    if not named and parent not in (str(up_pid), postmaster_pid(home)):
        return None
    return next((name for words, name in PARTS if words in command), None)


def postmaster_pid(home: Path) -> str:
    """Return the process id of the embedded PostgreSQL, whose backends are its children."""
    try:
        return (home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0]
    except OSError:
        return ""


def costs(up_pid: int, home: Path) -> dict[str, Cost]:
    """Return what every part has used up to now."""
    found: dict[str, Cost] = defaultdict(Cost)
    for proc in Path("/proc").glob("[0-9]*"):
        name = part_of(int(proc.name), up_pid, home)
        if name is not None:
            _add(found[name], proc)
    return dict(found)


def _add(cost: Cost, proc: Path) -> None:
    try:
        fields = (proc / "stat").read_text().rpartition(")")[2].split()
        rollup = (proc / "smaps_rollup").read_text()
    except OSError:
        return
    sizes = {line.split()[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
    cost.processes += 1
    cost.cpu_s += (int(fields[11]) + int(fields[12])) / TICKS
    cost.pss_mb += sizes["Pss:"] / 1024
    cost.rss_mb += sizes["Rss:"] / 1024


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settle", type=float, default=60, help="seconds before the measurement")
    parser.add_argument("--seconds", type=float, default=300, help="length of the measurement")
    parser.add_argument("--home", default=os.environ.get("SWITCHYARD_HOME", "~/.switchyard"))
    options = parser.parse_args()
    home = Path(options.home).expanduser().absolute()
    up = read_up_file(home)
    if up is None:
        sys.exit(f"nothing runs in {home}: start `switchyard up` first")
    time.sleep(options.settle)
    before, began_s = costs(up.pid, home), time.monotonic()
    time.sleep(options.seconds)
    after, elapsed_s = costs(up.pid, home), time.monotonic() - began_s
    print_table(before, after, elapsed_s)


def print_table(before: dict[str, Cost], after: dict[str, Cost], elapsed_s: float) -> None:
    """Print a row for each part and the sum; CPU seconds are those of the measured time."""
    total = Cost()
    print(f"idle for {elapsed_s:.0f} s")
    print("| part | processes | CPU s | % of a core | PSS MB | RSS MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, now in sorted(after.items(), key=lambda item: -item[1].pss_mb):
        cpu_s = now.cpu_s - before.get(name, Cost()).cpu_s
        _print_row(name, Cost(now.processes, cpu_s, now.pss_mb, now.rss_mb), elapsed_s)
        total.processes += now.processes
        total.cpu_s += cpu_s
        total.pss_mb += now.pss_mb
        total.rss_mb += now.rss_mb
    _print_row("all", total, elapsed_s)


def _print_row(name: str, cost: Cost, elapsed_s: float) -> None:
    share = 100 * cost.cpu_s / elapsed_s
    print(
        f"| {name} | {cost.processes} | {cost.cpu_s:.2f} | {share:.2f} |"
        f" {cost.pss_mb:.0f} | {cost.rss_mb:.0f} |"
    )


if __name__ == "__main__":
    main()
