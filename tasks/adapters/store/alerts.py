"""Alerts in the database: derived from what the ledger holds, so that a crash loses none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from models.alert import Alert, StoredAlert
from tasks.adapters.database import Database

INTO = "INSERT INTO alerts (kind, dedupe_key, subject, message, details) "
ONCE = """
ON CONFLICT (dedupe_key) DO NOTHING
RETURNING id, kind, subject, message, details, created_at
"""

RAISE: LiteralString = (
    INTO + "VALUES (%(kind)s, %(dedupe_key)s, %(subject)s, %(message)s, %(details)s)" + ONCE
)

BUDGETS: LiteralString = (
    INTO
    + """
SELECT 'budget.threshold', 'budget:' || b.id || ':' || extract(epoch FROM b.alerted_at),
       'switchyard.budget.' || b.id,
       format('budget %%s: $%%s of $%%s spent, above its alert threshold of %%s %%%%',
              ledger.budget_name(b.budget_type, b.scope_key, b.budget_period),
              trim_scale(b.spent_amount), trim_scale(b.budget_amount),
              trim_scale(b.alert_threshold * 100)),
       jsonb_build_object('budget',
           ledger.budget_name(b.budget_type, b.scope_key, b.budget_period),
           'amount_usd', b.budget_amount::text, 'spent_usd', b.spent_amount::text,
           'period_end', b.period_end)
FROM cost_budgets b
WHERE b.definition_id IS NOT NULL AND b.alerted_at > now() - interval '2 days'
"""
    + ONCE
)

OVERRUNS: LiteralString = (
    INTO
    + """
SELECT 'cost.overrun', 'overrun:' || s.id, 'switchyard.attempt.' || s.id,
       format('%%s cost $%%s, $%%s above what was held for it', s.selected_model,
              trim_scale(s.actual_cost), trim_scale(s.overrun_usd)),
       jsonb_build_object('decision_id', s.decision_id, 'model', s.selected_model,
           'worker_id', s.worker_id, 'cost_usd', s.actual_cost::text,
           'overrun_usd', s.overrun_usd::text, 'flow_run_id', d.flow_run_id)
FROM model_selections s LEFT JOIN routing_decisions d ON d.id = s.decision_id
WHERE s.overrun_usd > 0 AND s.created_at > now() - interval '2 days'
  AND (%(selection)s::uuid IS NULL OR s.id = %(selection)s)
"""
    + ONCE
)

UNKNOWN: LiteralString = (
    INTO
    + """
SELECT 'bill.unknown', 'unknown:' || s.id, 'switchyard.attempt.' || s.id,
       format('the bill of a call to %%s is unknown for over 15 minutes: $%%s stay held',
              s.selected_model, trim_scale(s.estimated_cost)),
       jsonb_build_object('decision_id', s.decision_id, 'model', s.selected_model,
           'worker_id', s.worker_id, 'held_usd', s.estimated_cost::text,
           'flow_run_id', d.flow_run_id)
FROM model_selections s LEFT JOIN routing_decisions d ON d.id = s.decision_id
WHERE s.settled_at IS NULL AND s.state = 'UNKNOWN'
  AND s.lease_expires_at < now() - interval '15 minutes'
"""
    + ONCE
)

UNANNOUNCED = """
SELECT id, kind, subject, message, details, created_at FROM alerts
WHERE announced_at IS NULL ORDER BY created_at LIMIT %(limit)s
"""

ANNOUNCED = "UPDATE alerts SET announced_at = now() WHERE id = ANY(%(ids)s)"

RECENT = """
SELECT id, kind, subject, message, details, created_at FROM alerts
WHERE created_at >= %(since)s ORDER BY created_at DESC LIMIT %(limit)s
"""


async def raise_alert(database: Database, alert: Alert) -> list[StoredAlert]:
    """Store an alert; empty when it was raised before."""
    values = {
        "kind": alert.kind.value,
        "dedupe_key": alert.dedupe_key,
        "subject": alert.subject,
        "message": alert.message,
        "details": Jsonb(alert.details),
    }
    return await _alerts(database, RAISE, values)


async def collect_budgets(database: Database) -> list[StoredAlert]:
    """Raise what budgets crossed their thresholds; return the new ones."""
    return await _alerts(database, BUDGETS, {})


async def collect_overruns(database: Database, selection: UUID | None) -> list[StoredAlert]:
    """Raise bills above their holds, of one attempt or of all of the last days."""
    return await _alerts(database, OVERRUNS, {"selection": selection})


async def collect_unknown(database: Database) -> list[StoredAlert]:
    """Raise bills that nobody has stated for 15 minutes."""
    return await _alerts(database, UNKNOWN, {})


async def unannounced(database: Database, limit: int) -> list[StoredAlert]:
    """Return what Prefect has not heard of yet, oldest first."""
    return await _alerts(database, UNANNOUNCED, {"limit": limit})


async def mark_announced(database: Database, ids: Sequence[UUID]) -> None:
    """Keep that these were announced."""
    await database.execute(ANNOUNCED, {"ids": list(ids)})


async def recent_alerts(
    database: Database, since: datetime, *, limit: int = 100
) -> list[StoredAlert]:
    """Return the alerts since then, newest first."""
    return await _alerts(database, RECENT, {"since": since, "limit": limit})


async def _alerts(
    database: Database, query: LiteralString, values: dict[str, Any]
) -> list[StoredAlert]:
    return [StoredAlert(**row) for row in await database.fetch_all(query, values)]
