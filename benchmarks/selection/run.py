"""Selection of one request among ten models beside LiteLLM's Router choosing between two.

    python -m benchmarks.selection.run                       # ours alone
    python -m benchmarks.selection.run --litellm PYTHON      # a Python that has litellm installed
    python -m benchmarks.selection.run --install-litellm     # in a throw-away environment

Rounds of both are interleaved in one run, so that a busy machine slows them alike. Ours does more:
prices, worst cases, budgets, abilities and reasons of ten models; LiteLLM's draws one of two. Its
asynchronous path is the one behind its proxy and `acompletion`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchmarks.selection.ours import STEPS, times_ns

LITELLM_VERSION = "1.106.2"
ROUNDS, CALLS = 20, 300


class LiteLLM:
    """LiteLLM's side, in a process of its own environment."""

    def __init__(self, python: str) -> None:
        script = Path(__file__).with_name("litellm_choice.py")
        self.process = subprocess.Popen(
            [python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.stdin, self.stdout = _pipe(self.process.stdin), _pipe(self.process.stdout)
        self.version = json.loads(self.stdout.readline())["version"]

    def times_ns(self, calls: int) -> dict[str, list[int]]:
        """Return the times of so many choices."""
        print(calls, file=self.stdin, flush=True)
        found: dict[str, list[int]] = json.loads(self.stdout.readline())
        return found

    def close(self) -> None:
        """End the process by ending its input."""
        self.stdin.close()
        self.process.wait(timeout=30)


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the process was started without pipes")
    return stream


@contextmanager
def litellm_side(options: argparse.Namespace) -> Iterator[LiteLLM | None]:
    """Yield LiteLLM's side as the options say, None without it."""
    if options.litellm is None and not options.install_litellm:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="litellm-") as folder:
        python = options.litellm or _installed(Path(folder))
        side = LiteLLM(python)
        try:
            yield side
        finally:
            side.close()


def _installed(folder: Path) -> str:
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", f"litellm=={LITELLM_VERSION}"]
    subprocess.run(install, check=True)
    return python


def measure(side: LiteLLM | None, rounds: int) -> dict[str, list[int]]:
    """Return the times of every step in nanoseconds, rounds interleaved."""
    for step in STEPS.values():
        times_ns(step, CALLS)  # warm-up
    found: dict[str, list[int]] = {}
    for _ in range(rounds):
        for name, step in STEPS.items():
            found.setdefault(name, []).extend(times_ns(step, CALLS))
        if side is not None:
            for path, times in side.times_ns(CALLS).items():
                found.setdefault(f"LiteLLM {side.version}, {path}", []).extend(times)
    return found


def table(found: dict[str, list[int]]) -> str:
    """Return the result as a Markdown table, in microseconds."""
    lines = ["| step | p50 µs | p95 µs | calls |", "|---|---|---|---|"]
    for name, times in found.items():
        p50, p95 = statistics.median(times) / 1e3, statistics.quantiles(times, n=20)[18] / 1e3
        lines.append(f"| {name} | {p50:.1f} | {p95:.1f} | {len(times)} |")
    return "\n".join(lines)


def verdict(found: dict[str, list[int]]) -> str:
    """Return how our medians compare to LiteLLM's, in words."""
    theirs = {name: statistics.median(times) for name, times in found.items() if "LiteLLM" in name}
    if not theirs:
        return "LiteLLM was not measured: give --litellm PYTHON or --install-litellm."
    lines = []
    for step in ("select", "classify + select"):
        ours = statistics.median(found[step])
        ratios = ", ".join(f"{ours / median:.2f} x {name}" for name, median in theirs.items())
        lines.append(f"{step}: {ratios}")
    return "\n".join(lines)


def main() -> None:
    """Print the times and how they compare."""
    parser = argparse.ArgumentParser(description="Selection among ten models beside LiteLLM's.")
    parser.add_argument("--litellm", metavar="PYTHON", help="a Python that has litellm installed")
    parser.add_argument("--install-litellm", action="store_true", help="in a throw-away venv")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with litellm_side(options) as side:
        found = measure(side, options.rounds)
    print(table(found))
    print(f"\n{verdict(found)}")


if __name__ == "__main__":
    main()
