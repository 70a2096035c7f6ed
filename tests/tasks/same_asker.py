"""A process that asks the same several times at once, when told to: `python same_asker.py N`.

It says `ready`, waits for a line, asks, and prints one JSON line an answer.
"""

from __future__ import annotations

import asyncio
import json
import sys

from deployments.lanes import run_in_lane
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.runtime import open_runtime
from tasks.adapters.settings import read_settings
from tests.bench import PROMPT


async def ask(times: int) -> list[RoutingResult]:
    """Ask the bench's question so often at once."""
    request = RoutingRequest(prompt=PROMPT, task_type="fix_bug", worker_id="w1")
    async with open_runtime(read_settings()):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        return await asyncio.gather(*(run_in_lane(request, "ledger") for _ in range(times)))


if __name__ == "__main__":
    for result in asyncio.run(ask(int(sys.argv[1]))):
        sys.stdout.write(json.dumps({"cached": result.cached, "content": result.content}) + "\n")
