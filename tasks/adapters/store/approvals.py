"""Approvals in the database: what a person is asked, and the one answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from models.waiting import Answer, Approval
from tasks.adapters.database import Database

ASK = """
-- A run that crashed before its question was stored asks again, with a new hold.
INSERT INTO approvals AS known
    (decision_id, selection_id, attempt_no, token, amount_usd, expires_at)
VALUES (%(decision_id)s, %(selection_id)s, %(attempt_no)s, %(token)s, %(amount_usd)s,
        now() + make_interval(secs => %(ttl_s)s))
ON CONFLICT (decision_id) DO UPDATE SET
    selection_id = excluded.selection_id, attempt_no = excluded.attempt_no,
    token = excluded.token, amount_usd = excluded.amount_usd, expires_at = excluded.expires_at
WHERE known.answer IS NULL
RETURNING *
"""

READ = "SELECT * FROM approvals WHERE decision_id = %(id)s"

ANSWER = """
SELECT * FROM ledger.answer_approval(%(id)s, %(answer)s, %(approver)s, %(note)s,
                            make_interval(secs => %(grace_s)s))
WHERE decision_id IS NOT NULL
"""

OPEN = """
SELECT d.id AS decision_id, d.policy_name AS policy, d.worker_id, d.task_type, a.amount_usd,
       a.expires_at, d.created_at, d.waits_in_run AS flow_run_id
FROM routing_decisions d JOIN approvals a ON a.decision_id = d.id
WHERE d.status = 'awaiting_approval'
  AND a.answer IS NULL
ORDER BY a.expires_at LIMIT %(limit)s
"""


async def store_question(database: Database, **values: Any) -> Approval | None:
    """Store what is asked; None when it was asked and answered before."""
    rows = await database.fetch_all(ASK, values)
    return _first(rows)


async def read_approval(database: Database, decision_id: UUID) -> Approval | None:
    """Return what was asked about a decision and the answer, or None."""
    return _first(await database.fetch_all(READ, {"id": decision_id}))


async def store_answer(
    database: Database,
    decision_id: UUID,
    answer: Answer,
    *,
    approver: str | None,
    note: str | None,
    grace_s: float,
) -> Approval | None:
    """Answer once, and keep or release the hold with it; return the answer that stands."""
    values = {
        "id": decision_id,
        "answer": answer,
        "approver": approver,
        "note": note,
        "grace_s": grace_s,
    }
    return _first(await database.fetch_all(ANSWER, values))


async def open_approvals(database: Database, *, limit: int = 200) -> list[dict[str, Any]]:
    """Return what waits for a person now, the most urgent first."""
    return await database.fetch_all(OPEN, {"limit": limit})


def _first(rows: list[dict[str, Any]]) -> Approval | None:
    if not rows:
        return None
    return Approval(**{name: value for name, value in rows[0].items() if name != "created_at"})
