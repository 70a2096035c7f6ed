"""The Prefect clients that every flow run of this process shares.

Imports Prefect: only lane `flow` loads this module.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from prefect.context import AsyncClientContext, SyncClientContext

import flows.route_request  # noqa: F401  # loaded here, so that the first run need not wait for it
from deployments.prefect_queues import deliver_queued
from deployments.result_storage import shared_result_storage


@asynccontextmanager
async def warm_clients() -> AsyncIterator[Callable[[], None]]:
    """Open the clients; the yielded function makes the calling task's Prefect use them.

    A client made anew for each run costs a TLS context (30 ms) and new connections.
    """
    async with AsyncExitStack() as stack:
        blocking = stack.enter_context(SyncClientContext())
        waiting = await stack.enter_async_context(AsyncClientContext())
        await stack.enter_async_context(shared_result_storage())

        def use() -> None:
            SyncClientContext.__var__.set(blocking)
            AsyncClientContext.__var__.set(waiting)

        try:
            yield use
        finally:
            await deliver_queued()
