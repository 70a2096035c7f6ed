"""What Prefect sends a moment later: events and log lines.

Imports Prefect: only lane `flow` loads this module.
"""

from __future__ import annotations

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

DELIVERY_S = 10.0


async def deliver_queued() -> None:
    """Have all events and log lines delivered while the server that they go to still runs.

    Without it Prefect tries a server that is gone for minutes at the end of the process.
    """
    for queue in (EventsWorker, APILogWorker):
        delivering = queue.drain_all(timeout=DELIVERY_S)
        if not isinstance(delivering, tuple):  # a tuple comes outside of an event loop only
            await delivering
