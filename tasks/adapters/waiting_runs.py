"""What a suspending flow run and the waiting decision know of each other."""

from __future__ import annotations

from uuid import UUID

from models.errors import InvalidRequest
from tasks.adapters.approvals import answer_approval
from tasks.adapters.runtime import runtime
from tasks.adapters.store.waiting import note_waiting_run


async def note_suspension(decision_id: UUID, run_id: UUID | None) -> bool:
    """Keep which run is about to suspend for the decision; None takes it back.

    False when the decision waits no more: then there is nothing to suspend for.
    """
    return await note_waiting_run(runtime().database, decision_id, run_id)


async def answer_by_form(
    decision_id: UUID, *, approve: bool, approver: str | None, note: str | None
) -> None:
    """Take the answer that a person gave in Prefect's form; one given before stands."""
    try:
        await answer_approval(runtime(), decision_id, approve=approve, approver=approver, note=note)
    except InvalidRequest:
        return  # answered by command or API meanwhile, or expired: the decision says so itself
