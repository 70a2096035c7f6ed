"""Two moments of a request, each with its money in one statement and so in one commit.

A request's decision is written together with its hold, and its result together with its bill:
two commits instead of seven, with the same rows. The order that the ledger promises stays: the
hold is durable before a byte is sent, and nothing is answered before the bill is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from models.attempt import Bill, Hold, ReserveAnswer, Settlement
from tasks.adapters.ledger.entries import (
    HOLD,
    SETTLE,
    Entries,
    bill_parameters,
    hold_parameters,
)

OPEN: LiteralString = """
WITH task AS (
    INSERT INTO governance_tasks (id) SELECT %(d_task)s WHERE %(d_task)s::uuid IS NOT NULL
    ON CONFLICT DO NOTHING
), opened AS (
    INSERT INTO routing_decisions
        (id, idempotency_key, request_hash, task_id, task_type, complexity, worker_id, status,
         priority, deadline_at, trace, simulated, policy_name, policy_version, snapshot, plan,
         first_model, first_price, escalates, request)
    VALUES (%(d_id)s, %(d_key)s, %(request_hash)s, %(d_task)s, %(task_type)s, %(complexity)s,
            %(worker)s, 'running', %(d_priority)s, %(d_deadline)s, %(d_trace)s, %(simulated)s,
            %(policy)s, %(d_version)s, %(d_snapshot)s, %(d_plan)s, %(d_first_model)s,
            %(d_first_price)s, %(d_escalates)s, %(d_request)s)
    ON CONFLICT (id) DO NOTHING  -- a repeated statement after a lost acknowledgement
)
"""
# With a lease for what is sent, `reserve` marks its own hold sent, also when this is the repetition
# of a statement whose acknowledgement was lost.
SEND: LiteralString = HOLD + ", make_interval(secs => %(sent_lease_s)s))"
FINISH: LiteralString = """
WITH finished AS (
    UPDATE routing_decisions SET status = %(d_status)s, result = %(d_result)s,
        reasons = %(d_reasons)s, request = CASE WHEN %(d_keep_request)s THEN request END,
        finished_at = now()
    WHERE id = %(d_id)s
)
"""
OPEN_AND_SEND: LiteralString = OPEN + SEND
SETTLE_AND_FINISH: LiteralString = FINISH + SETTLE


@dataclass(frozen=True, slots=True)
class Sent:
    """The hold stands and is marked sent: the caller may send now."""

    selection_id: UUID


class Gathered(Entries):
    """What `Entries` does step by step, for the first attempt of a decision that has no row yet."""

    async def open_and_send(
        self, decision: dict[str, Any], hold: Hold, lease_s: float
    ) -> Sent | ReserveAnswer:
        """Write the decision with its plan, hold the money and mark it sent.

        `decision` holds its columns as `d_...`. The decision is written whatever the hold's
        answer is; Reserved means that the hold ran out in between.
        """
        parameters = {**decision, **hold_parameters(hold), "sent_lease_s": lease_s}
        row = await self._calls.one(OPEN_AND_SEND, parameters)
        if row["sent"]:
            return Sent(row["selection_id"])
        return await self._reserve_answer(hold, row)

    async def settle_and_finish(
        self, decision: dict[str, Any], selection_id: UUID, bill: Bill
    ) -> Settlement:
        """Book the bill once and store the decision's result; asked again as `settle` is."""
        parameters = {**decision, "selection_id": selection_id, **bill_parameters(bill)}
        row = await self._calls.stubborn(SETTLE_AND_FINISH, parameters)
        return Settlement(row["answer"], row["overrun_usd"], tuple(row["alerts"]))
