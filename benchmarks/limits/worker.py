"""One worker process of the rate limit benchmark: `worker.py NAME CALLERS SECONDS`.

Says `ready`, waits for a line, then asks with so many callers at once until the time is over, and
prints one JSON document of how its requests ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

from deployments.lanes import run_in_lane
from deployments.preparation import prepared_runtime
from models.request import RoutingRequest
from tasks.adapters.settings import read_settings

REST_S = 1.0  # what a caller that was refused does not ask again before


async def work(name: str, callers: int, seconds: float) -> Counter[str]:
    """Return how the requests ended."""
    ended: Counter[str] = Counter()

    async def call_on() -> None:
        while True:
            request = RoutingRequest(prompt="Is it up?", worker_id=name, policy="ops")
            result = await run_in_lane(request, "ledger")
            ended[result.status.value] += 1
            if result.status != "completed":
                await asyncio.sleep(REST_S)

    async with prepared_runtime(read_settings()):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        tasks = [asyncio.create_task(call_on()) for _ in range(callers)]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        found = Counter(ended)
        for task in tasks:
            task.cancel()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        found["broken"] = sum(not isinstance(one, asyncio.CancelledError) for one in errors)
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(work(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
