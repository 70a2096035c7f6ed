"""M3, a crawler of logs: each kind of error becomes one investigation, however often it is seen.

    python examples/logs_crawler.py [LOG_FILE]

An investigation is a governance task with a step, so a crawler that runs every hour pays for an
error once.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from prefect import flow
from stage import perform, told

from flows.route_within import route_within
from models.request import RoutingRequest
from models.result import RoutingResult

SAMPLE = """\
12:00:01 api ERROR TimeoutError: no answer from db-1 in 30 s
12:00:02 api INFO request 991 done
12:00:07 api ERROR TimeoutError: no answer from db-2 in 30 s
12:01:10 billing ERROR KeyError: 'amount' in line 4411
12:01:11 billing ERROR KeyError: 'amount' in line 17
"""
VARYING = re.compile(r"\d+")


def kinds_of_error(log: str) -> Counter[str]:
    """Return each kind of error with how often it was seen; numbers do not make a new kind."""
    errors = [line.partition(" ")[2] for line in log.splitlines() if " ERROR " in line]
    return Counter(VARYING.sub("N", error) for error in errors)


async def investigate(kind: str, seen: int) -> RoutingResult:
    """Ask for the cause of one kind of error; asked again, it is the answer of before."""
    request = RoutingRequest(
        prompt=f"Seen {'once' if seen == 1 else 'repeatedly'}: {kind}\nFind the likely cause.",
        task_type="investigate_error",
        task_id=uuid5(NAMESPACE_URL, f"log-error:{kind}"),
        step="investigate",
        worker_id="logs-crawler",
        max_tokens=800,
    )
    return await route_within(request)


@flow(name="crawl-logs")
async def crawl_logs(log: str) -> dict[str, RoutingResult]:
    """Investigate every kind of error in a log."""
    kinds = kinds_of_error(log)
    return {kind: await investigate(kind, seen) for kind, seen in kinds.items()}


async def play(log: str = SAMPLE) -> dict[str, RoutingResult]:
    """Crawl a log and print each cause with what it cost to find."""
    found = await crawl_logs(log)
    for kind, result in found.items():
        print(f"{kind}\n  {told(result)} {(result.content or '').splitlines()[0][:100]}")
    return found


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8") if sys.argv[1:] else SAMPLE
    perform(lambda: play(text))
