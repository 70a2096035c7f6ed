"""A ledger for a process that serves many callers: what they ask together shares a statement.

While one statement is under way, those who come wait for the next one; alone nobody waits. Each
request is still admitted or refused by itself, its decision, hold and mark in one commit before a
byte is sent, its bill and result in one commit before it is answered.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from models.attempt import Bill, Hold, ReserveAnswer, Settlement
from models.budget import BudgetState
from tasks.adapters.batches.gathering import Gathered
from tasks.adapters.database import Database
from tasks.adapters.ledger import Ledger
from tasks.adapters.ledger.entries import bill_parameters, hold_parameters
from tasks.adapters.ledger.gathered import OPEN_AND_SEND, Sent
from tasks.adapters.ledger.rows import budget_state, json_text

ROW_BYTES_MAX = 256 * 1024  # what is larger, say with images, goes by itself
LEASE_STEP_S = 15.0  # requests with nearly the same time limit share a lease
KINDS_MAX = 1000
# The columns are those of OPEN in ledger/gathered.py.
OPEN_AND_SEND_MANY: LiteralString = """
WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS d (
        d_id uuid, d_key text, request_hash text, d_task uuid,
        task_type text, complexity text, worker text, d_priority integer, d_deadline timestamptz,
        d_trace text, simulated boolean, policy text, d_version integer, d_snapshot jsonb,
        d_plan jsonb, d_first_model text, d_first_price jsonb, d_escalates boolean, d_request jsonb)
), task AS (
    INSERT INTO governance_tasks (id)
    SELECT DISTINCT d_task FROM given WHERE d_task IS NOT NULL ORDER BY d_task
    ON CONFLICT DO NOTHING
), opened AS (
    INSERT INTO routing_decisions
        (id, idempotency_key, request_hash, task_id, task_type, complexity, worker_id, status,
         priority, deadline_at, trace, simulated, policy_name, policy_version, snapshot, plan,
         first_model, first_price, escalates, request)
    SELECT d_id, d_key, request_hash, d_task, task_type, complexity, worker, 'running',
           d_priority, d_deadline, d_trace, simulated, policy, d_version, d_snapshot, d_plan,
           d_first_model, d_first_price, d_escalates, d_request
    FROM given
    ON CONFLICT (id) DO NOTHING  -- a repeated statement after a lost acknowledgement
)
SELECT * FROM ledger.reserve_many(%(holds)s, make_interval(secs => %(sent_lease_s)s))
 ORDER BY place
"""
SETTLE_AND_FINISH_MANY: LiteralString = """
WITH finished AS (
    UPDATE routing_decisions r SET status = g.d_status, result = g.d_result,
        reasons = g.d_reasons, request = CASE WHEN g.d_keep_request THEN r.request END,
        finished_at = now()
    FROM jsonb_to_recordset(%(rows)s) AS g (
        d_id uuid, d_status text, d_result jsonb, d_reasons jsonb, d_keep_request boolean)
    WHERE r.id = g.d_id
)
SELECT jsonb_agg(jsonb_build_array(place, answer, overrun_usd::text, alerts)) AS booked
  FROM ledger.settle_many(%(bills)s)
"""
LOOK: LiteralString = """
SELECT * FROM ledger.head_room(
    %(policy)s, %(worker)s, %(models)s::text[], %(task)s, %(decisions)s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a look at budgets asks about."""

    policy: str | None
    worker_id: str | None
    model_ids: tuple[str, ...]
    task_id: UUID | None


Opening = dict[str, Any]  # the parameters of OPEN_AND_SEND but the lease
Closing = tuple[dict[str, Any], UUID, Bill]


class CrowdLedger(Ledger):
    """The same ledger; concurrent first attempts, bills and looks at budgets go together."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._openings: dict[float, Gathered[Opening, DictRow]] = {}
        self._closing = Gathered(self._close_many)
        self._looks: dict[Scopes, Gathered[UUID | None, list[BudgetState]]] = {}

    async def open_and_send(
        self, decision: dict[str, Any], hold: Hold, lease_s: float
    ) -> Sent | ReserveAnswer:
        """Do as `Ledger.open_and_send`; a caller that is cancelled meanwhile sends nothing."""
        asked = self._opening(lease_s).asked({**decision, **hold_parameters(hold)})
        try:
            row = await asyncio.shield(asked)
        except asyncio.CancelledError:
            row = await asked
            if row["sent"]:
                await self.release(row["selection_id"], hold.token, outcome="cancelled")
            raise
        if row["sent"]:
            return Sent(row["selection_id"])
        return await self._reserve_answer(hold, row)

    async def settle_and_finish(
        self, decision: dict[str, Any], selection_id: UUID, bill: Bill
    ) -> Settlement:
        """Do as `Ledger.settle_and_finish`."""
        return await self._closing((decision, selection_id, bill))

    async def head_room(
        self,
        *,
        policy: str | None,
        worker_id: str | None = None,
        model_ids: Sequence[str] = (),
        task_id: UUID | None = None,
        decision_id: UUID | None = None,
    ) -> list[BudgetState]:
        """Do as `Ledger.head_room`; a shared look begins after each of its callers has asked."""
        scopes = Scopes(policy, worker_id, tuple(model_ids), task_id)
        look = self._looks.get(scopes)
        if look is None:
            if len(self._looks) >= KINDS_MAX:
                self._looks.clear()  # those under way are kept by who waits for them
            look = self._looks[scopes] = Gathered(partial(self._look_many, scopes))
        return await look(decision_id)

    def _opening(self, lease_s: float) -> Gathered[Opening, DictRow]:
        """Return where requests with this lease meet, rounded up: longer only means later swept."""
        rounded_s = math.ceil(lease_s / LEASE_STEP_S) * LEASE_STEP_S
        if rounded_s not in self._openings:
            self._openings[rounded_s] = Gathered(partial(self._open_many, rounded_s))
        return self._openings[rounded_s]

    async def _open_many(self, lease_s: float, given: Sequence[Opening]) -> list[DictRow]:
        if len(given) == 1:  # half of the server's time: no list to read, no locks taken ahead
            return [await self._calls.one(OPEN_AND_SEND, given[0] | {"sent_lease_s": lease_s})]
        documents = [_row(place, one) for place, one in enumerate(given)]
        if any(len(document) > ROW_BYTES_MAX for document in documents):
            return [(await self._open_many(lease_s, [one]))[0] for one in given]
        holds = (_row(place, _hold_of(one)) for place, one in enumerate(given))
        values = {"rows": _array(documents), "holds": _array(holds), "sent_lease_s": lease_s}
        return await self._calls.all(OPEN_AND_SEND_MANY, values)

    async def _close_many(self, given: Sequence[Closing]) -> list[Settlement]:
        if len(given) == 1:
            return [await super().settle_and_finish(*given[0])]
        bills = (
            _row(place, {**bill_parameters(bill), "selection_id": selection_id})
            for place, (_, selection_id, bill) in enumerate(given)
        )
        rows = (_row(place, decision) for place, (decision, _, _) in enumerate(given))
        values = {"rows": _array(rows), "bills": _array(bills)}
        row = await self._calls.stubborn(SETTLE_AND_FINISH_MANY, values)
        return [
            Settlement(state, Decimal(overrun_usd), tuple(alerts))
            for _, state, overrun_usd, alerts in sorted(row["booked"])
        ]

    async def _look_many(
        self, scopes: Scopes, decision_ids: Sequence[UUID | None]
    ) -> list[list[BudgetState]]:
        values = {
            "policy": scopes.policy,
            "worker": scopes.worker_id,
            "models": list(scopes.model_ids),
            "task": scopes.task_id,
            "decisions": [decision_id for decision_id in decision_ids if decision_id is not None],
        }
        states = [budget_state(row) for row in await self._calls.all(LOOK, values)]
        limits = {f"decision:{one}": one for one in decision_ids}  # of one request, its own
        return [
            [state for state in states if limits.get(state.scope_key, asker) == asker]
            for asker in decision_ids
        ]


def _hold_of(opening: Opening) -> dict[str, Any]:
    return {name: value for name, value in opening.items() if not name.startswith("d_")}


def _row(place: int, columns: dict[str, Any]) -> bytes:
    """Return one row of a statement for many, as JSON."""
    plain = {k: v.obj if isinstance(v, Jsonb) else v for k, v in columns.items()}
    return json_text({"place": place, **plain})


def _array(documents: Iterable[bytes]) -> Jsonb:
    return Jsonb(b"[" + b",".join(documents) + b"]", dumps=bytes)
