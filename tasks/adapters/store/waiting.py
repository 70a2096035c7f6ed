"""Waiting work in the database: claimed by one sweeper at a time, ended, or handed to a run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from models.result import RoutingResult
from models.waiting import Waiting
from tasks.adapters.database import Database

CLAIM_LEASE_S = 60.0

CLAIM = """
-- Claim what may go on or must end: parked work whose rest is over, approvals that are answered or
-- too old, passed deadlines, and runs that wait for a request that has ended. Two indexes find the
-- few rows among all decisions; the lease keeps other sweepers away.
WITH due AS (
    SELECT d.id, a.answer, coalesce(a.expires_at <= now(), false) AS approval_expired
    FROM routing_decisions d LEFT JOIN approvals a ON a.decision_id = d.id
    WHERE d.id IN (
        SELECT w.id FROM routing_decisions w LEFT JOIN approvals p ON p.decision_id = w.id
        WHERE w.status IN ('parked', 'awaiting_approval')
          AND (w.deadline_at <= now()
               OR (w.status = 'parked' AND coalesce(w.not_before, '-infinity') <= now())
               OR (w.status = 'awaiting_approval'
                   AND (p.answer IS NOT NULL OR p.expires_at <= now())))
        UNION ALL
        SELECT w.id FROM routing_decisions w
        WHERE w.waits_in_run IS NOT NULL AND w.status IN ('rejected', 'failed')
    )
      AND coalesce(d.claimed_until, '-infinity') <= now()
      AND (%(only)s::uuid IS NULL OR d.id = %(only)s)
    ORDER BY d.priority DESC, d.deadline_at NULLS LAST, d.created_at
    LIMIT %(limit)s FOR NO KEY UPDATE OF d SKIP LOCKED
), claimed AS (
    UPDATE routing_decisions d
    SET claimed_by = %(owner)s, claimed_until = now() + make_interval(secs => %(lease_s)s)
    FROM due WHERE d.id = due.id
    RETURNING d.*, due.answer, due.approval_expired
)
SELECT id AS decision_id, status, coalesce(deadline_at <= now(), false) AS deadline_passed,
       waits_in_run, answer, approval_expired, priority, policy_name, worker_id, task_id, snapshot
FROM claimed ORDER BY priority DESC, deadline_at NULLS LAST, created_at
"""

PUT_BACK = """
UPDATE routing_decisions
SET claimed_until = now() + make_interval(secs => %(rest_s)s)
WHERE id = %(id)s AND claimed_by = %(owner)s
"""

HAND = """
-- The run that the release was given to; the claim stays, so that the run has time to arrive.
UPDATE routing_decisions SET waits_in_run = %(run_id)s,
    claimed_until = now() + make_interval(secs => %(lease_s)s)
WHERE id = %(id)s AND status IN ('parked', 'awaiting_approval')
"""

FORGET_RUN = """
UPDATE routing_decisions SET waits_in_run = NULL, claimed_by = NULL, claimed_until = NULL
WHERE id = %(id)s
"""

WAITS_IN = """
UPDATE routing_decisions SET waits_in_run = %(run_id)s
WHERE id = %(id)s AND status IN ('parked', 'awaiting_approval')
RETURNING id
"""

END = """
UPDATE routing_decisions SET
    status = %(status)s::text, result = %(result)s, reasons = %(reasons)s, finished_at = now(),
    claimed_by = NULL, claimed_until = NULL, not_before = NULL, resume_after = NULL,
    request = CASE WHEN %(keep_request)s OR (snapshot #>> '{policy,store_prompts}')::boolean
              THEN request END
WHERE id = %(id)s AND status IN ('parked', 'awaiting_approval')
RETURNING waits_in_run
"""


async def claim_waiting(
    database: Database, *, owner: str, limit: int, only: UUID | None = None
) -> list[Waiting]:
    """Claim due rows, first to be released first; `only` narrows it to one decision."""
    rows = await database.fetch_all(
        CLAIM, {"owner": owner, "limit": limit, "lease_s": CLAIM_LEASE_S, "only": only}
    )
    return [Waiting(**row) for row in rows]


async def put_back(database: Database, decision_id: UUID, *, owner: str, rest_s: float) -> None:
    """Give a claimed row back, to be looked at again after a rest."""
    await database.execute(PUT_BACK, {"id": decision_id, "owner": owner, "rest_s": rest_s})


async def hand_to_run(database: Database, decision_id: UUID, run_id: UUID) -> None:
    """Remember the flow run that goes on with the decision."""
    parameters = {"id": decision_id, "run_id": run_id, "lease_s": CLAIM_LEASE_S}
    await database.execute(HAND, parameters)


async def forget_run(database: Database, decision_id: UUID) -> None:
    """Forget the flow run: it was told of the end, or it is gone."""
    await database.execute(FORGET_RUN, {"id": decision_id})


async def note_waiting_run(database: Database, decision_id: UUID, run_id: UUID | None) -> bool:
    """Keep that this run is about to suspend for the decision; False when it waits no more."""
    return bool(await database.fetch_all(WAITS_IN, {"id": decision_id, "run_id": run_id}))


async def end_decision(database: Database, result: RoutingResult, *, keep_request: bool) -> bool:
    """Store how waiting work ended; False when it was not waiting any more."""
    values: dict[str, Any] = {
        "id": result.decision_id,
        "status": result.status,
        "result": Jsonb(result.model_dump(mode="json")),
        "reasons": Jsonb(result.reasons),
        "keep_request": keep_request,
    }
    return bool(await database.fetch_all(END, values))
