"""Paid answers that are not used, because two models that were asked the same gave different ones.

What they cost stays booked; the models' success is corrected, so that nothing is learned from an
answer that nobody confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from models.result import Outcome
from tasks.adapters.database import Database

DIFFERS = "differs from the answer of another model that was asked the same"

SET_ASIDE = """
-- Only the outcome: the bill of the attempt, and its state, are the ledger's.
UPDATE model_selections
   SET outcome = %(outcome)s, success = false, error = %(error)s, error_kind = 'answer_rejected'
 WHERE decision_id = %(decision_id)s AND attempt_no = ANY(%(attempts)s) AND outcome = 'ok'
"""


async def set_aside(database: Database, decision_id: UUID, attempts: Sequence[int]) -> None:
    """Mark these attempts' answers as rejected; none (the usual case) costs nothing."""
    if not attempts:
        return
    values = {
        "outcome": Outcome.REJECTED_ANSWER.value,
        "error": DIFFERS,
        "decision_id": decision_id,
        "attempts": list(attempts),
    }
    await database.execute(SET_ASIDE, values)
