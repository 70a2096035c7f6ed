"""One worker of the chaos test: routes keyed requests until it is killed, and goes on where it was.

`python chaos_worker.py NAME DONE_FILE`: a few lanes at once; request n of a lane is repeated under
its key until it has a line in DONE_FILE, so that a restarted worker meets the rows which its dead
self left behind. A lane that meets a row that was sent waits for the end of its lease.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from flows.decision import route
from models.decision import Caller
from models.errors import SwitchyardError
from models.request import RoutingRequest
from tasks.adapters.runtime import open_runtime, process_owner
from tasks.adapters.settings import read_settings
from tasks.steps import PLAIN_STEPS

LANES = 4


async def work(name: str, done_file: Path) -> None:
    """Route for ever, also when the database is away at the start."""
    while True:
        try:
            async with open_runtime(read_settings()), asyncio.TaskGroup() as lanes:
                for number in range(LANES):
                    lanes.create_task(_lane(f"{name}.{number}", done_file))
        except SwitchyardError as error:
            await _pause(name, error)


async def _lane(name: str, done_file: Path) -> None:
    """Route for ever; a lost database or a refused request is tried again under the same key."""
    while True:
        try:
            await _next(name, done_file)
        except SwitchyardError as error:
            await _pause(name, error)


async def _pause(name: str, error: SwitchyardError) -> None:
    sys.stderr.write(f"{name}: {error}\n")
    await asyncio.sleep(0.2)


async def _next(name: str, done_file: Path) -> None:
    number = _done(name, done_file)
    key = f"chaos/{name}/{number}"
    request = RoutingRequest(
        prompt=f"Is service {number} of {name} up?", task_type="simple_query", idempotency_key=key
    )
    caller = Caller(key=key, trace="ledger", flow_run_id=None, owner=process_owner())
    result = await route(request, caller, PLAIN_STEPS)
    line = f"{key} {result.status.value} {result.decision_id}\n"
    _append(done_file, line)


def _done(name: str, done_file: Path) -> int:
    if not done_file.exists():
        return 0
    return done_file.read_text().count(f"chaos/{name}/")


def _append(done_file: Path, line: str) -> None:
    handle = os.open(done_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, line.encode())
    os.close(handle)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], Path(sys.argv[2])))
