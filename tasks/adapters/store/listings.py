"""Lists for people and programs: decisions, and what waits, newest first, in pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tasks.adapters.database import Database

DECISIONS = """
-- A page of decisions; (created_at, id) is the place to go on from.
SELECT d.id AS decision_id, d.created_at, d.finished_at, d.status, d.task_id, d.task_type,
       d.complexity, d.policy_name AS policy, d.policy_version, d.worker_id, d.trace,
       d.flow_run_id, d.simulated,
       coalesce(d.result ->> 'model', d.plan #>> '{candidates,0,model_id}') AS model,
       coalesce(spent.cost, 0) AS cost_usd, coalesce(spent.unknown, 0)::int AS unknown_attempts,
       coalesce(spent.attempts, 0)::int AS attempts,
       (d.result ->> 'latency_ms')::int AS latency_ms, coalesce(d.reasons, '[]') AS reasons
FROM routing_decisions d
LEFT JOIN LATERAL (
    SELECT sum(s.actual_cost) AS cost, count(*) AS attempts,
           count(*) FILTER (WHERE s.state IN ('SENT', 'UNKNOWN')) AS unknown
    FROM model_selections s WHERE s.decision_id = d.id
) AS spent ON true
WHERE d.created_at >= %(since)s AND d.created_at < %(until)s
  AND (%(policy)s::text IS NULL OR d.policy_name = %(policy)s)
  AND (%(worker)s::text IS NULL OR d.worker_id = %(worker)s)
  AND (%(task_type)s::text IS NULL OR d.task_type = %(task_type)s)
  AND (%(status)s::text IS NULL OR d.status = %(status)s)
  AND (%(model)s::text IS NULL OR EXISTS (
      SELECT FROM model_selections s WHERE s.decision_id = d.id AND s.selected_model = %(model)s))
  AND (%(after_at)s::timestamptz IS NULL
       OR (d.created_at, d.id) < (%(after_at)s, %(after_id)s::uuid))
ORDER BY d.created_at DESC, d.id DESC LIMIT %(limit)s
"""

MODELS = """
-- What may be asked for: every model with a price that is not suspended.
SELECT model_id, provider, context_tokens, priced_at FROM model_catalogue
WHERE suspended_reason IS NULL AND prompt_usd IS NOT NULL ORDER BY model_id
"""

FAILURE_KINDS = """
SELECT error_kind FROM model_selections
WHERE decision_id = %(id)s AND error_kind IS NOT NULL ORDER BY attempt_no, created_at
"""


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions a list shows; None filters nothing."""

    since: datetime
    until: datetime
    policy: str | None = None
    model: str | None = None
    worker: str | None = None
    task_type: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    at: datetime
    id: UUID


async def list_decisions(
    database: Database, wanted: DecisionFilter, *, after: Place | None, limit: int
) -> tuple[list[dict[str, Any]], Place | None]:
    """Return a page of decisions, newest first, and the place to go on from."""
    rows = await database.fetch_all(
        DECISIONS,
        {
            "since": wanted.since,
            "until": wanted.until,
            "policy": wanted.policy,
            "model": wanted.model,
            "worker": wanted.worker,
            "task_type": wanted.task_type,
            "status": wanted.status,
            "after_at": after and after.at,
            "after_id": after and after.id,
            "limit": limit + 1,
        },
    )
    page = rows[:limit]
    more = len(rows) > limit
    return page, Place(page[-1]["created_at"], page[-1]["decision_id"]) if more else None


async def list_models(database: Database) -> list[dict[str, Any]]:
    """Return every model that may be asked for."""
    return await database.fetch_all(MODELS)


async def failure_kinds(database: Database, decision_id: UUID) -> list[str]:
    """Return why the attempts of a decision failed, first to last."""
    rows = await database.fetch_all(FAILURE_KINDS, {"id": decision_id})
    return [row["error_kind"] for row in rows]
