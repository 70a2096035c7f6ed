"""The row of an attempt that was held and settled by this process, without reading it back."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from models.attempt import AttemptRow, AttemptState, Bill, Hold


def booked_row(selection_id: UUID, hold: Hold, bill: Bill) -> AttemptRow:
    """Return what the settle transaction has just stored."""
    return AttemptRow(
        selection_id=selection_id,
        decision_id=hold.decision_id,
        attempt_no=hold.attempt_no,
        key=hold.key,
        state=AttemptState.SETTLED,
        model_id=hold.model_id,
        provider=bill.provider or hold.provider,
        estimated_cost_usd=hold.worst_case_usd,
        actual_cost_usd=bill.cost_usd,
        prompt_tokens=bill.prompt_tokens,
        completion_tokens=bill.completion_tokens,
        latency_ms=bill.latency_ms,
        outcome=bill.outcome,
        error=bill.error,
        error_kind=bill.error_kind,
        generation_id=bill.generation_id,
        settle_source=bill.source,
        response=bill.response,
        created_at=datetime.now(UTC),
        lease_expires_at=None,
        lease_live=False,
    )
