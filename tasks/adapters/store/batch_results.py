"""The decisions of a batch's lines, opened and finished many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from models.decision import Arrival
from models.plan import Plan
from models.saving import FirstChoice
from models.snapshot import Snapshot
from tasks.adapters.database import Database
from tasks.adapters.ledger.rows import json_rows

KNOWN = "SELECT idempotency_key FROM routing_decisions WHERE idempotency_key = ANY (%(keys)s)"

OPEN = """
-- As one decision is opened and planned; of a group the first line carries snapshot and plan.
WITH opened AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS r (
        id uuid, key text, request_hash text, task_id uuid, task_type text, complexity text,
        worker_id text, priority integer, deadline_at timestamptz, flow_run_id uuid, trace text,
        policy text, policy_version integer, first_model text, first_price jsonb,
        escalates boolean, snapshot jsonb, plan jsonb, planned_with uuid)
), tasks AS (
    INSERT INTO governance_tasks (id) SELECT DISTINCT task_id FROM opened WHERE task_id IS NOT NULL
    ON CONFLICT DO NOTHING
)
INSERT INTO routing_decisions
    (id, idempotency_key, request_hash, task_id, task_type, complexity, worker_id, status, priority,
     deadline_at, flow_run_id, trace, simulated, policy_name, policy_version, first_model,
     first_price, escalates, snapshot, plan, planned_with)
SELECT id, key, request_hash, task_id, task_type, complexity, worker_id, 'running', priority,
       deadline_at, flow_run_id, trace, %(simulated)s, policy, policy_version, first_model,
       first_price, escalates, snapshot, plan, planned_with
  FROM opened
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id
"""

FINISH = """
-- As one decision is finished; the request is dropped with its line unless it is to be kept.
WITH ended AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS r (
        line_no integer, decision_id uuid, status text, result jsonb, planned_with uuid,
        is_stored boolean, reused_from uuid)
), decisions AS (
    UPDATE routing_decisions d SET
        status = e.status, result = e.result, reasons = e.result -> 'reasons',
        planned_with = CASE WHEN e.planned_with <> d.id THEN e.planned_with END,
        request = NULL, resume_after = NULL, not_before = NULL, waits_in_run = NULL,
        claimed_by = NULL, claimed_until = NULL, finished_at = now(),
        reused_from = e.reused_from, reuse = CASE WHEN e.reused_from IS NOT NULL THEN 'cache' END
      FROM ended e WHERE d.id = e.decision_id AND NOT e.is_stored
)
UPDATE batch_items i SET
    status = e.status, decision_id = e.decision_id,
    request = CASE WHEN e.status <> 'completed' OR %(keep_requests)s THEN i.request END
  FROM ended e WHERE i.batch_id = %(batch_id)s AND i.line_no = e.line_no
RETURNING i.line_no, i.labels
"""

COPY = """
-- Duplicates of completed lines get the answer, for nothing; of others, only the pointer to it.
WITH same AS (
    SELECT i.line_no, i.same_as, i.labels, first.status, first.problem,
           first.decision_id AS first_id,
           CASE WHEN first.status = 'completed' THEN gen_random_uuid() END AS id,
           'batch:' || i.batch_id || '/' || i.line_no AS key
      FROM batch_items i
      JOIN batch_items first ON first.batch_id = i.batch_id AND first.line_no = i.same_as
     WHERE i.batch_id = %(batch_id)s AND i.status = 'pending' AND first.status <> 'pending'
       AND i.same_as IS NOT NULL AND (%(lines)s::integer[] IS NULL OR i.same_as = ANY (%(lines)s))
     LIMIT 500
), copied AS (
    INSERT INTO routing_decisions
        (id, idempotency_key, request_hash, task_id, task_type, complexity, worker_id, status,
         priority, flow_run_id, trace, simulated, policy_name, policy_version, first_model,
         first_price, escalates, planned_with, reused_from, reuse, reasons, result, finished_at)
    SELECT s.id, s.key, d.request_hash, d.task_id, d.task_type, d.complexity, d.worker_id,
           d.status, d.priority, d.flow_run_id, d.trace, d.simulated, d.policy_name,
           d.policy_version, d.first_model, d.first_price, d.escalates,
           coalesce(d.planned_with, d.id), d.id, 'duplicate', why.reasons,
           d.result || jsonb_build_object(
               'decision_id', s.id, 'cached', true, 'cost_usd', '0', 'estimated_cost_usd', '0',
               'attempts', '[]'::jsonb, 'latency_ms', 0, 'reasons', why.reasons),
           now()
      FROM same s JOIN routing_decisions d ON d.id = s.first_id
     CROSS JOIN LATERAL (SELECT coalesce(d.reasons, '[]'::jsonb) || jsonb_build_array(
           'the same as line ' || s.same_as || ': asked once') AS reasons) why
     WHERE s.id IS NOT NULL
    ON CONFLICT (idempotency_key) DO UPDATE SET
        status = excluded.status, reasons = excluded.reasons, finished_at = excluded.finished_at,
        result = excluded.result || jsonb_build_object('decision_id', routing_decisions.id)
    RETURNING id, idempotency_key AS key, result
), ended AS (
    SELECT s.line_no, s.labels, s.status, s.problem, coalesce(c.id, s.first_id) AS decision_id,
           coalesce(c.result, d.result) AS result
      FROM same s LEFT JOIN copied c ON c.key = s.key
      LEFT JOIN routing_decisions d ON d.id = s.first_id
)
UPDATE batch_items i SET status = e.status, decision_id = e.decision_id, problem = e.problem,
       request = CASE WHEN e.status <> 'completed' OR %(keep_requests)s THEN i.request END
  FROM ended e WHERE i.batch_id = %(batch_id)s AND i.line_no = e.line_no
RETURNING i.line_no, e.status, e.labels, e.result, e.problem
"""

REFUSE = """
UPDATE batch_items SET status = 'invalid', problem = %(problem)s
 WHERE batch_id = %(batch_id)s AND line_no = %(line_no)s
"""


@dataclass(frozen=True, slots=True)
class Planned:
    """The choice that a line shares, and whose decision carries it."""

    leader_id: UUID
    policy: str
    policy_version: int
    first: FirstChoice
    snapshot: Snapshot
    plan: Plan


@dataclass(frozen=True, slots=True)
class Ended:
    """One line's end; `document` is its result document.

    `is_stored` when its decision is finished already, `is_known` when an earlier run paid for it.
    """

    line_no: int
    decision_id: UUID
    status: str
    document: dict[str, Any]
    cost_usd: Decimal
    planned_with: UUID | None
    is_stored: bool
    is_known: bool
    reused_from: UUID | None = None


async def known_keys(database: Database, keys: Sequence[str]) -> set[str]:
    """Return which of these keys name a decision already."""
    rows = await database.fetch_all(KNOWN, {"keys": list(keys)})
    return {row["idempotency_key"] for row in rows}


async def open_decisions(
    database: Database, arrivals: Sequence[tuple[Arrival, Planned]], *, simulated: bool
) -> set[UUID]:
    """Insert decisions with their choice; return those that no other arrival was faster for."""
    rows = [_opened(arrival, planned) for arrival, planned in arrivals]
    opened = await database.fetch_all(OPEN, {"rows": json_rows(rows), "simulated": simulated})
    return {row["id"] for row in opened}


def _opened(arrival: Arrival, planned: Planned) -> dict[str, Any]:
    request, leads = arrival.request, planned.leader_id == arrival.decision_id
    return {
        "id": str(arrival.decision_id),
        "key": arrival.caller.key,
        "request_hash": arrival.request_hash,
        "task_id": request.task_id and str(request.task_id),
        "task_type": arrival.classification.task_type,
        "complexity": arrival.classification.complexity,
        "worker_id": request.worker_id,
        "priority": request.priority,
        "deadline_at": arrival.deadline_at and arrival.deadline_at.isoformat(),
        "flow_run_id": arrival.caller.flow_run_id and str(arrival.caller.flow_run_id),
        "trace": arrival.caller.trace,
        "policy": planned.policy,
        "policy_version": planned.policy_version,
        "first_model": planned.first.model_id,
        "first_price": planned.first.price,
        "escalates": planned.first.escalates,
        "snapshot": planned.snapshot.document() if leads else None,
        "plan": planned.plan.document() if leads else None,
        "planned_with": None if leads else str(planned.leader_id),
    }


async def finish_lines(
    database: Database, batch_id: UUID, ended: Sequence[Ended], *, keep_requests: bool
) -> dict[int, Any]:
    """Store many results in one commit; return each line's labels."""
    documents = [
        {
            "line_no": one.line_no,
            "decision_id": str(one.decision_id),
            "status": one.status,
            "result": one.document,
            "planned_with": one.planned_with and str(one.planned_with),
            "is_stored": one.is_stored,
            "reused_from": one.reused_from and str(one.reused_from),
        }
        for one in ended
    ]
    values = {
        "rows": json_rows(documents),
        "batch_id": batch_id,
        "keep_requests": keep_requests,
    }
    rows = await database.fetch_all(FINISH, values)
    return {row["line_no"]: row["labels"] for row in rows}


async def refuse_line(database: Database, batch_id: UUID, line_no: int, problem: str) -> None:
    """End a line whose request cannot be routed."""
    values = {"batch_id": batch_id, "line_no": line_no, "problem": problem}
    await database.execute(REFUSE, values)


async def copy_results(
    database: Database, batch_id: UUID, lines: Sequence[int] | None, *, keep_requests: bool
) -> list[dict[str, Any]]:
    """End some duplicates of these lines, or of any line that has ended; return how.

    At most 500 at once: ask again until there is none.
    """
    values = {
        "batch_id": batch_id,
        "lines": None if lines is None else list(lines),
        "keep_requests": keep_requests,
    }
    return await database.fetch_all(COPY, values)
