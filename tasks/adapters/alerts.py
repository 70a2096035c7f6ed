"""Alerts: stored where the fact is, told to Prefect as events; never in a request's way.

A stored alert is an outbox row. It is written and logged at once; the event is sent by a task
beside the request, and what could not be sent is sent by the next sweep of any process.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from models.alert import Alert, AlertKind, StoredAlert, event_of
from models.attempt import Settlement
from models.circuit import circuit_open_until
from models.errors import DatabaseFailed, NotFound, PrefectFailed
from tasks.adapters.prefect_api import open_prefect_api
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import alerts as store
from tasks.adapters.store.statistics import recent_statistics

BATCH = 50
CIRCUIT_QUIET_S = 600  # one alert a model in ten minutes, however often it is tried
logger = logging.getLogger("switchyard.alerts")
_on_their_way: set[asyncio.Task[int]] = set()


async def after_settlement(opened: Runtime, settlement: Settlement, selection_id: UUID) -> None:
    """Raise what a bill brought to light: crossed thresholds, a cost above its hold."""
    if not settlement.alerts and not settlement.overrun_usd:
        return
    try:
        raised = await store.collect_budgets(opened.database) if settlement.alerts else []
        if settlement.overrun_usd:
            raised += await store.collect_overruns(opened.database, selection_id)
    except DatabaseFailed as failure:
        logger.warning("alerts are left to the sweep: %s", failure)
    else:
        _tell_soon(opened, raised)


async def after_failure(opened: Runtime, model_id: str) -> None:
    """Raise that a model's circuit has opened, when its last failure opened it."""
    try:
        row = (await recent_statistics(opened.database, [model_id]))[model_id]
        now = datetime.now(UTC)
        until = circuit_open_until(
            consecutive_failures=row["consecutive_failures"],
            fresh_attempts=row["fresh_attempts"],
            fresh_failures=row["fresh_failures"],
            last_failed_at=row["last_failed_at"],
        )
        if until is not None and until > now:
            raised = await store.raise_alert(opened.database, _circuit(model_id, until, now))
            _tell_soon(opened, raised)
    except DatabaseFailed as failure:
        logger.warning("the circuit of %s was not looked at: %s", model_id, failure)


def _circuit(model_id: str, until: datetime, now: datetime) -> Alert:
    return Alert(
        kind=AlertKind.CIRCUIT_OPENED,
        dedupe_key=f"circuit:{model_id}:{int(now.timestamp()) // CIRCUIT_QUIET_S}",
        subject=f"switchyard.model.{model_id}",
        message=f"{model_id} keeps failing and rests until {until:%H:%M:%S} UTC",
        details={"model": model_id, "open_until": until.isoformat()},
    )


async def raise_alert(opened: Runtime, alert: Alert) -> None:
    """Store and tell one alert, once per key."""
    _tell_soon(opened, await store.raise_alert(opened.database, alert))


async def collect_alerts(opened: Runtime) -> int:
    """Raise everything that the ledger's rows say and nobody has heard of; return how many."""
    raised = [
        *await store.collect_budgets(opened.database),
        *await store.collect_overruns(opened.database, None),
        *await store.collect_unknown(opened.database),
    ]
    _log(raised)
    return len(raised)


async def announce_alerts(opened: Runtime) -> int:
    """Send what Prefect has not heard of as events; return how many.

    Without Prefect the log has told it. An event may be sent twice, by two sweepers; its id makes
    Prefect keep it once.
    """
    waiting = await store.unannounced(opened.database, BATCH)
    if not waiting:
        return 0
    async with open_prefect_api(opened.settings) as prefect:
        if prefect is not None:
            try:
                await prefect.emit([event_of(alert) for alert in waiting])
            except (PrefectFailed, NotFound) as failure:
                logger.warning("%d alerts are not told yet: %s", len(waiting), failure)
                return 0
    await store.mark_announced(opened.database, [alert.id for alert in waiting])
    return len(waiting)


def _tell_soon(opened: Runtime, raised: Sequence[StoredAlert]) -> None:
    """Log the alerts now and send their events beside what is running."""
    _log(raised)
    if raised and opened.settings.prefect_api_url is not None:
        task = asyncio.create_task(_tell(opened))
        _on_their_way.add(task)
        task.add_done_callback(_on_their_way.discard)


async def _tell(opened: Runtime) -> int:
    try:
        return await announce_alerts(opened)
    except DatabaseFailed as failure:  # the process may be closing: the next sweep tells
        logger.warning("alerts are not told yet: %s", failure)
        return 0


def _log(raised: Sequence[StoredAlert]) -> None:
    for alert in raised:
        document = {"alert": alert.kind, "subject": alert.subject, **alert.details}
        logger.warning("%s %s", alert.message, json.dumps(document, default=str))
