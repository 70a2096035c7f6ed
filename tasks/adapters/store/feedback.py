"""What callers thought of the answers; learning reads it later."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from models.errors import NotFound
from tasks.adapters.database import Database

GOOD_MIN = Decimal("0.5")

SAVE = """
-- The last word counts. Nothing is written for a decision or an attempt that does not exist.
INSERT INTO decision_feedback (decision_id, attempt_no, score, given_by)
SELECT d.id, %(attempt_no)s, %(score)s, %(given_by)s FROM routing_decisions d
WHERE d.id = %(decision_id)s
  AND (%(attempt_no)s::integer IS NULL OR EXISTS (
      SELECT FROM model_selections s
      WHERE s.decision_id = d.id AND s.attempt_no = %(attempt_no)s))
ON CONFLICT ON CONSTRAINT decision_feedback_once
DO UPDATE SET score = excluded.score, given_by = excluded.given_by, created_at = now()
RETURNING id
"""

DROP = """
-- A bad answer is not given again, whoever got it first.
DELETE FROM cached_answers c USING routing_decisions d
 WHERE d.id = %(decision_id)s AND c.decision_id = coalesce(d.reused_from, d.id)
"""

READ = """
SELECT attempt_no AS attempt, score::float8 AS score, given_by, created_at FROM decision_feedback
WHERE decision_id = %(decision_id)s ORDER BY attempt_no NULLS FIRST
"""


async def read_feedback(database: Database, decision_id: UUID) -> list[dict[str, Any]]:
    """Return the scores of a decision: of its answer, then of its attempts."""
    return await database.fetch_all(READ, {"decision_id": decision_id})


async def save_feedback(
    database: Database,
    decision_id: UUID,
    *,
    attempt_no: int | None,
    score: Decimal,
    given_by: str | None,
) -> None:
    """Store a score between 0 and 1; raises NotFound for what was never decided or tried.

    An answer scored below a half leaves the cache.
    """
    values = {
        "decision_id": decision_id,
        "attempt_no": attempt_no,
        "score": score,
        "given_by": given_by,
    }
    if not await database.fetch_all(SAVE, values):
        what = f"decision {decision_id}"
        raise NotFound(
            f"there is no {what if attempt_no is None else f'attempt {attempt_no} of {what}'}"
        )
    if attempt_no is None and score < GOOD_MIN:
        await database.execute(DROP, values)
