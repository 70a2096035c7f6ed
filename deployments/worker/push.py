"""The push: Prefect's event stream tells of runs that are due and of orders for running ones."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from uuid import UUID

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter
from prefect.events.schemas.events import Event

from deployments.worker.station import Station

DUE = ("Scheduled", "Late", "AwaitingRetry", "Resuming", "Reclaimed", "AwaitingConcurrencySlot")
ORDERS = ("Cancelling", "Cancelled", "Suspended")
PREFIX = "prefect.flow-run."
BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 5.0


async def follow_events(
    station: Station,
    *,
    on_due: Callable[[UUID], None],
    on_order: Callable[[UUID], None],
    on_link: Callable[[bool], None],
) -> None:
    """Call back for every event of this pool until cancelled; reconnects for ever.

    `on_link` hears whether the stream is up. A connection begins with the events of the last
    minute, so callbacks must bear old news.
    """
    backoff_s = BACKOFF_MIN_S
    while True:
        began = time.monotonic()
        try:
            async with get_events_subscriber(_filter(station), 0) as subscriber:
                on_link(True)
                async for event in subscriber:
                    _tell(event, on_due, on_order)
        # Prefect raises a bare Exception when it may not authenticate, and websockets its own
        # kinds; each means the same here: no push for now, the polling goes on.
        except Exception as lost:
            level = logging.WARNING if backoff_s == BACKOFF_MIN_S else logging.DEBUG
            station.logger.log(level, "no event stream, polling instead: %r", lost)
        on_link(False)
        lasted = time.monotonic() - began > BACKOFF_MAX_S
        backoff_s = BACKOFF_MIN_S if lasted else min(backoff_s * 2, BACKOFF_MAX_S)
        await asyncio.sleep(backoff_s)


def _filter(station: Station) -> EventFilter:
    pool_id = station.pool_id()
    return EventFilter(
        event=EventNameFilter(name=[f"{PREFIX}{name}" for name in DUE + ORDERS]),
        any_resource=EventAnyResourceFilter(id=[f"prefect.work-pool.{pool_id}"]),
    )


def _tell(event: Event, on_due: Callable[[UUID], None], on_order: Callable[[UUID], None]) -> None:
    try:
        flow_run_id = UUID(event.resource.id.removeprefix(PREFIX))
    except ValueError:
        return
    if event.event.removeprefix(PREFIX) in ORDERS:
        on_order(flow_run_id)
    else:
        on_due(flow_run_id)
