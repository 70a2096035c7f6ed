"""What a worker does now and then beside running flows."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

from deployments.worker.station import SERVER_TROUBLE, Logger
from models.errors import WorldFailed
from tasks.adapters.runtime import Runtime, open_runtime
from tasks.adapters.settings import read_settings
from tasks.adapters.upkeep import sweep_once

SWEEP_EVERY_S = 15.0


@contextlib.asynccontextmanager
async def process_runtime() -> AsyncIterator[Runtime | None]:
    """Open the pools that all runs of this process share; None when no database is configured.

    Entered before the first run is started: a run's task inherits the runtime as a context
    variable.
    """
    settings = read_settings()
    if settings.database_url is None:
        yield None
        return
    async with open_runtime(settings) as opened:
        yield opened


async def sweep_ledger(opened: Runtime) -> None:
    """Expire holds, release waiting work and tell alerts: cheap statements, no flow run."""
    await sweep_once(opened)


async def repeat(
    work: Callable[[], Awaitable[None]], every_s: float, *, name: str, logger: Logger
) -> None:
    """Do the work every so often until cancelled; trouble of the outside world is waited out."""
    well = True
    while True:
        try:
            await work()
        except (*SERVER_TROUBLE, WorldFailed) as trouble:
            if well:
                logger.warning("%s: %r; trying on", name, trouble)
            well = False
        else:
            if not well:
                logger.info("%s: works again", name)
            well = True
        await asyncio.sleep(every_s * random.uniform(0.8, 1.2))
