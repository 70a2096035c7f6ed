"""Waiting for a Prefect server that is not up yet."""

from __future__ import annotations

import asyncio

import httpx
from prefect.client.orchestration import get_client

from deployments.worker.station import Logger
from deployments.worker.stop import Stop

LOOK_EVERY_S = 0.5


async def wait_for_server(logger: Logger, stop: Stop) -> bool:
    """Return True when the server answers, False when ordered to stop before."""
    told = False
    async with get_client(httpx_settings={"timeout": httpx.Timeout(5.0)}) as client:
        while not stop.ordered.is_set():
            trouble = await client.api_healthcheck()
            if trouble is None:
                return True
            if not told:
                logger.warning("waiting for the Prefect server: %r", trouble)
                told = True
            await asyncio.sleep(LOOK_EVERY_S)
    return False
