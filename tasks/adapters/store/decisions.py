"""Routing decisions: opened on arrival, planned from a snapshot, finished with a result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from models.decision import Arrival
from models.plan import plan_from_document
from models.result import RoutingResult
from models.saving import FirstChoice
from tasks.adapters.database import Database

FIND = """
SELECT id, request_hash, status, result, deadline_at, coalesce(deadline_at <= now(), false) AS late
FROM routing_decisions WHERE idempotency_key = %(key)s
"""

OPEN = """
-- Open a decision; the key's unique index lets only one arrival in, the others find it.
WITH task AS (
    INSERT INTO governance_tasks (id) SELECT %(task_id)s WHERE %(task_id)s::uuid IS NOT NULL
    ON CONFLICT DO NOTHING
)
INSERT INTO routing_decisions
    (id, idempotency_key, request_hash, task_id, task_type, complexity, worker_id, status,
     priority, deadline_at, flow_run_id, trace, simulated)
VALUES (%(id)s, %(key)s, %(request_hash)s, %(task_id)s, %(task_type)s, %(complexity)s,
        %(worker_id)s, 'running', %(priority)s, %(deadline_at)s, %(flow_run_id)s, %(trace)s,
        %(simulated)s)
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id
"""

PLAN = """
-- Store what was chosen and all it was chosen from; an earlier plan of a resumed decision is kept.
UPDATE routing_decisions SET
    policy_name = %(policy)s, policy_version = %(policy_version)s,
    earlier_plans = earlier_plans || CASE WHEN snapshot IS NULL THEN '[]'::jsonb ELSE
        jsonb_build_array(jsonb_build_object('snapshot', snapshot, 'plan', plan)) END,
    snapshot = %(snapshot)s, plan = %(plan)s, first_model = %(first_model)s,
    first_price = %(first_price)s, escalates = %(escalates)s, request = %(request)s
WHERE id = %(id)s
"""

FINISH = """
-- Parked again means that the release was in vain: then the next one waits longer each time.
UPDATE routing_decisions SET
    status = %(status)s::text, result = %(result)s, reasons = %(reasons)s,
    flow_run_id = coalesce(flow_run_id, %(flow_run_id)s), resume_after = %(resume_after)s,
    request = CASE WHEN %(keep_request)s THEN request END,
    not_before = CASE WHEN %(status)s::text = 'parked' THEN
        greatest(now() + make_interval(secs => %(rest_s)s::float8),
                 now() + CASE WHEN parkings > 0
                              THEN least(5 * power(2, least(parkings, 10)), 600) END
                         * interval '1 second') END,
    parkings = parkings + (%(status)s::text = 'parked')::int,
    waits_in_run = CASE WHEN %(status)s::text IN ('parked', 'awaiting_approval')
                   THEN waits_in_run END,
    claimed_by = NULL, claimed_until = NULL,
    reused_from = %(reused_from)s::uuid,
    reuse = CASE WHEN %(reused_from)s::uuid IS NOT NULL THEN 'cache' END,
    finished_at = now()
WHERE id = %(id)s
"""

READ = """
-- A line of a batch shares the snapshot and the plan of the decision that led its group.
SELECT d.*, coalesce(d.snapshot, leader.snapshot) AS snapshot, coalesce(d.plan, leader.plan) AS plan
FROM routing_decisions d LEFT JOIN routing_decisions leader ON leader.id = d.planned_with
WHERE d.id = %(id)s
"""

PLANNED = """
-- As text, because orjson reads it five times faster than the driver's own reader does.
SELECT id, snapshot::text, coalesce(plan, 'null')::text AS plan, earlier_plans::text
FROM routing_decisions
WHERE snapshot IS NOT NULL AND id > %(after)s ORDER BY id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Known:
    """A decision that the key already names; `late` once its deadline has passed."""

    decision_id: UUID
    request_hash: str
    status: str
    result: RoutingResult | None
    deadline_at: datetime | None = None
    late: bool = False


async def find_decision(database: Database, key: str) -> Known | None:
    """Return the decision of this key, or None."""
    rows = await database.fetch_all(FIND, {"key": key})
    if not rows:
        return None
    row = rows[0]
    result = None if row["result"] is None else RoutingResult.model_validate(row["result"])
    return Known(
        row["id"], row["request_hash"], row["status"], result, row["deadline_at"], row["late"]
    )


async def open_decision(
    database: Database, arrival: Arrival, *, deadline_at: datetime | None, simulated: bool
) -> bool:
    """Insert the decision; False when another arrival with the same key was faster."""
    request = arrival.request
    rows = await database.fetch_all(
        OPEN,
        {
            "id": arrival.decision_id,
            "key": arrival.caller.key,
            "request_hash": arrival.request_hash,
            "task_id": request.task_id,
            "task_type": arrival.classification.task_type,
            "complexity": arrival.classification.complexity,
            "worker_id": request.worker_id,
            "priority": request.priority,
            "deadline_at": deadline_at,
            "flow_run_id": arrival.caller.flow_run_id,
            "trace": arrival.caller.trace,
            "simulated": simulated,
        },
    )
    return bool(rows)


async def store_plan(
    database: Database,
    decision_id: UUID,
    *,
    policy: str,
    policy_version: int,
    snapshot: dict[str, Any],
    plan: dict[str, Any],
    first: FirstChoice,
    request: dict[str, Any],
) -> None:
    """Store the snapshot and the plan before the first attempt."""
    await database.execute(
        PLAN,
        {
            "id": decision_id,
            "policy": policy,
            "policy_version": policy_version,
            "snapshot": Jsonb(snapshot),
            "plan": Jsonb(plan),
            "first_model": first.model_id,
            "first_price": first.price and Jsonb(first.price),
            "escalates": first.escalates,
            "request": Jsonb(request),
        },
    )


async def finish_decision(
    database: Database,
    result: RoutingResult,
    *,
    keep_request: bool,
    resume_after: datetime | None,
    rest_s: float | None = None,
    reused_from: UUID | None = None,
) -> None:
    """Store the result document; the request itself stays only when asked to."""
    await database.execute(
        FINISH,
        {
            "id": result.decision_id,
            "status": result.status,
            "result": Jsonb(result.model_dump(mode="json")),
            "reasons": Jsonb(result.reasons),
            "flow_run_id": result.flow_run_id,
            "resume_after": resume_after,
            "rest_s": rest_s,
            "reused_from": reused_from,
            "keep_request": keep_request,
        },
    )


async def read_decision(database: Database, decision_id: UUID) -> dict[str, Any] | None:
    """Return one whole row, or None."""
    rows = await database.fetch_all(READ, {"id": decision_id})
    return rows[0] if rows else None


async def asks_two(database: Database, decision_id: UUID) -> bool:
    """Say whether the decision's plan asks two models at once and compares their answers."""
    row = await read_decision(database, decision_id)
    plan = None if row is None or row["plan"] is None else plan_from_document(row["plan"])
    return plan is not None and plan.chain is not None and plan.chain.asks_two


async def planned_decisions(database: Database, *, after: UUID, limit: int) -> list[dict[str, Any]]:
    """Return a page of decisions with their snapshots and plans, for replay."""
    rows = await database.fetch_all(PLANNED, {"after": after, "limit": limit})
    return [
        {
            "id": row["id"],
            "snapshot": orjson.loads(row["snapshot"]),
            "plan": orjson.loads(row["plan"]),
            "earlier_plans": orjson.loads(row["earlier_plans"]),
        }
        for row in rows
    ]
