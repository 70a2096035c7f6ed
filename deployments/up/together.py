"""Run coroutines together: the first expected error ends them all and is raised as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from models.errors import SwitchyardError


async def together(*works: Coroutine[None, None, None]) -> None:
    """Return when all have returned; a failing one cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except* SwitchyardError as failures:
        raise failures.exceptions[0] from None
