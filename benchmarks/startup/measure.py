"""How long `switchyard --help` takes beside a bare `python -c pass`, run alternately.

`python -m benchmarks.startup.measure [ROUNDS]` prints one JSON document; exit 1 above the limit.
The ratio of the fastest runs is the figure: it is what other load on the machine disturbs least.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15
RATIO_MAX = 8.0  # issue 2: `switchyard --help` within 8 times a bare `python -c pass`
BARE = (sys.executable, "-c", "pass")
HELP = (str(Path(sys.executable).with_name("switchyard")), "--help")
LAZY = ("prefect", "fastapi", "alembic", "sqlalchemy", "sqlmodel", "pydantic", "httpx", "rich")


def seconds(command: tuple[str, ...]) -> float:
    """Return how long the command took."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def loaded_by_help() -> list[str]:
    """Return which heavy libraries the import of the command line loads; there should be none."""
    code = f"import sys, deployments.cli.main; print(*[m for m in {LAZY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.split()


def measure(rounds: int) -> dict[str, object]:
    """Alternate both commands and compare their fastest and median runs."""
    pairs = [(seconds(BARE), seconds(HELP)) for _ in range(rounds)]
    bare, with_help = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return {
        "rounds": rounds,
        "python_ms": round(min(bare) * 1000, 1),
        "help_ms": round(min(with_help) * 1000, 1),
        "ratio": round(min(with_help) / min(bare), 2),
        "ratio_of_medians": round(statistics.median(with_help) / statistics.median(bare), 2),
        "ratio_max": RATIO_MAX,
        "heavy_imports": loaded_by_help(),
    }


def main() -> int:
    """Print the figures; return 1 when they are above the limit."""
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    print(json.dumps(figures, indent=2))
    ratio = figures["ratio"]
    return 0 if isinstance(ratio, float) and ratio <= RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
