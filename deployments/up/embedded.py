"""The embedded PostgreSQL while the system runs: started again when it is gone, its log shown."""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack
from pathlib import Path

from deployments.postgres import PostgresServer, running_postgres
from deployments.postgres.postmaster import find_postmaster
from deployments.up.log import UpLog

LOOK_EVERY_S = 5.0
TELLING = re.compile(r"\b(WARNING|ERROR|FATAL|PANIC):")
LOG_BYTES_MAX = 64 * 1024


async def keep_postgres(home: Path, server: PostgresServer, log: UpLog) -> None:
    """Look every few seconds; raises PostgresFailed when it cannot be started again."""
    position = server.log_file.stat().st_size
    with ExitStack() as memberships:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            position = _show_log(server.log_file, position, log)
            if find_postmaster(server.data_dir) is None:
                log.write("postgres", "WARNING is gone; started again")
                await asyncio.to_thread(memberships.enter_context, running_postgres(home))
                log.write("postgres", "ready again")


def _show_log(file: Path, position: int, log: UpLog) -> int:
    """Write what was added since `position` and matters; return the new position."""
    try:
        size = file.stat().st_size
        if size == position:
            return position
        with file.open("rb") as reader:
            reader.seek(max(min(position, size), size - LOG_BYTES_MAX))
            added = reader.read().decode("utf-8", "replace")
    except OSError:  # rotated away or unreadable: its lines are lost, nothing else
        return position
    for line in added.splitlines():
        found = TELLING.search(line)
        if found is not None:
            log.write("postgres", f"{found[1]} {line[found.end() :].strip()}")
    return size
