"""The steps of one request with their writes gathered: for callers that need hundreds a second.

The rows, their order and every guarantee are those of the plain steps. A request with a key of its
caller takes the plain ones: its decision must be visible to a second arrival from the start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg import OperationalError
from psycopg.types.json import Jsonb

from models.attempt import Bill, Rejected, ReserveAnswer, Reserved, Uncovered
from models.completion import Completion
from models.decision import Arrival, AttemptOrder, Caller, Ending
from models.errors import DatabaseFailed, NeverSent
from models.money import parse_usd
from models.plan import Plan
from models.request import RoutingRequest
from models.result import AttemptResult, Outcome, RoutingResult, Status
from models.result_of import result_of
from models.saving import first_choice
from models.selection import select
from models.snapshot import Snapshot
from tasks.adapters import attempts, decisions
from tasks.adapters.alerts import after_settlement
from tasks.adapters.booking import Holding, bill_of, book_answer, finish
from tasks.adapters.fresh import FreshReads
from tasks.adapters.ledger.gathered import Sent
from tasks.adapters.ledger.rows import json_document, json_text
from tasks.adapters.race import current_contestant
from tasks.adapters.resume import await_other_owner
from tasks.adapters.runtime import Runtime, runtime
from tasks.adapters.snapshots import read_snapshot
from tasks.adapters.store import decisions as store
from tasks.adapters.turns import turn


@dataclass(frozen=True, slots=True)
class Unbooked:
    """An answer whose bill is booked together with the result."""

    order: AttemptOrder
    holding: Holding
    bill: Bill


class GatheredSteps:
    """The five verbs of one request; a new object for each."""

    def __init__(self, reads: FreshReads) -> None:
        self._reads = reads
        self._snapshot: Snapshot | None = None
        self._plan: Plan | None = None
        self._is_stored = False
        self._unbooked: Unbooked | None = None
        self._opening = asyncio.Lock()

    async def receive(self, request: RoutingRequest, caller: Caller) -> Arrival:
        """Return the arrival; nothing is written before the plan is made."""
        policies = await self._reads.policies(runtime().database)
        return decisions.new_arrival(request, caller, request.fingerprint(), policies)

    async def snapshot(self, arrival: Arrival) -> Snapshot:
        """Return everything the selection depends on; budgets are read live."""
        self._snapshot = await read_snapshot(
            runtime(), arrival, cards=self._reads.cards, recent=self._reads.statistics
        )
        return self._snapshot

    async def select(self, arrival: Arrival, snapshot: Snapshot) -> Plan:
        """Return the plan; it is stored with the first hold, or with the refusal."""
        self._plan = select(snapshot)
        return self._plan

    async def execute(self, order: AttemptOrder) -> Completion:
        """Ask the order's model; the first attempt opens the decision in the commit of its hold."""
        return await attempts.visibly(self._attempt(order))

    async def _attempt(self, order: AttemptOrder) -> Completion:
        try:
            async with turn(runtime(), order) as in_time:
                return await self._attempt_in_turn(in_time)
        except asyncio.CancelledError:  # while the turn was given back: nobody takes the answer
            await self._book_alone()
            raise

    async def _book_alone(self) -> None:
        """Book the bill of an answer that no result is stored with."""
        unbooked, self._unbooked = self._unbooked, None
        if unbooked is not None:
            selection_id = unbooked.holding.selection_id
            await finish(runtime().ledger.settle(selection_id, unbooked.bill))

    async def _attempt_in_turn(self, order: AttemptOrder) -> Completion:
        async with self._opening:  # of two attempts at once, one opens the decision
            first = None if self._is_stored else await self._open(order)
        if first is None:
            return await attempts.attempt_in_turn(order)
        answer, token = first
        match answer:
            case Sent():
                holding = Holding(answer.selection_id, token)
                return await attempts.ask(runtime(), order, holding, book=self._book)
            case Reserved():
                raise NeverSent("the hold expired before it could be used")
            case Rejected() | Uncovered():
                raise attempts.refusal_of(order, answer)
            case _:
                return await await_other_owner(runtime(), answer.attempt)

    async def record(self, arrival: Arrival, ending: Ending) -> RoutingResult:
        """Store the result, with the bill where that is still to be booked."""
        if self._unbooked is not None and ending.status is Status.COMPLETED:
            return await self._settle_and_finish(arrival, ending, self._unbooked)
        if not self._is_stored:
            await self._store(arrival)
        return await decisions.finish(arrival, ending)

    async def _open(self, order: AttemptOrder) -> tuple[Sent | ReserveAnswer, UUID]:
        opened, token = runtime(), uuid4()
        hold = attempts.hold_of(opened, order, token)
        lease_s = order.timeout_s + attempts.SENT_MARGIN_S
        columns = self._decision_columns(order.arrival)
        answer = await opened.ledger.open_and_send(columns, hold, lease_s)
        self._is_stored = True
        return answer, token

    async def _book(
        self, opened: Runtime, order: AttemptOrder, holding: Holding, completion: Completion
    ) -> Completion:
        """Keep the bill for the commit of the result, where both are certain by now."""
        checked = order.is_provisional or order.arrival.request.accept is not None
        if completion.usage is None or checked or current_contestant() is not None:
            return await book_answer(opened, order, holding, completion)
        bill = bill_of(order, completion, completion.usage, Outcome.OK)
        self._unbooked = Unbooked(order, holding, bill)
        return completion

    async def _settle_and_finish(
        self, arrival: Arrival, ending: Ending, unbooked: Unbooked
    ) -> RoutingResult:
        opened, candidate = runtime(), unbooked.order.candidate
        attempt = AttemptResult(
            model=candidate.model_id,
            outcome=Outcome.OK,
            estimated_cost_usd=candidate.worst_case_usd,
            cost_usd=parse_usd(unbooked.bill.cost_usd),
            latency_ms=unbooked.bill.latency_ms,
        )
        simulated, now = opened.settings.simulated, datetime.now(UTC)
        result = result_of(arrival, ending, [attempt], simulated=simulated, now=now)
        columns = {
            "d_id": result.decision_id,
            "d_status": result.status.value,
            "d_result": json_document(result.model_dump(mode="json")),
            "d_reasons": Jsonb(result.reasons, dumps=json_text),
            "d_keep_request": decisions.stores_prompts(opened, arrival),
        }
        selection_id = unbooked.holding.selection_id
        settling = opened.ledger.settle_and_finish(columns, selection_id, unbooked.bill)
        try:
            settlement = await finish(settling)
        except DatabaseFailed as error:
            if isinstance(error.__cause__, OperationalError):  # away: the sweep finds the row
                raise
            # a result that cannot be stored must not keep its bill from being booked
            settlement = await finish(opened.ledger.settle(selection_id, unbooked.bill))
            result = await decisions.finish(arrival, ending)
        await after_settlement(opened, settlement, selection_id)
        if settlement.state == "settled":
            return result
        return await decisions.finish(arrival, ending)  # swept meanwhile: its row says how it ended

    async def _store(self, arrival: Arrival) -> None:
        """Write the decision and its plan, as the plain steps do."""
        opened, snapshot, plan = runtime(), self._snapshot, self._plan
        if snapshot is None or plan is None:
            raise RuntimeError("a decision is recorded before its plan")
        simulated = opened.settings.simulated
        await store.open_decision(
            opened.database, arrival, deadline_at=arrival.deadline_at, simulated=simulated
        )
        await decisions.store_plan(opened, arrival, snapshot, plan)
        self._is_stored = True

    def _decision_columns(self, arrival: Arrival) -> dict[str, Any]:
        snapshot, plan, request = self._snapshot, self._plan, arrival.request
        if snapshot is None or plan is None:
            raise RuntimeError("an attempt is made before its plan")
        first = first_choice(snapshot, plan)
        return {
            "d_id": arrival.decision_id,
            "d_key": arrival.caller.key,
            "d_task": request.task_id,
            "d_priority": request.priority,
            "d_deadline": arrival.deadline_at,
            "d_trace": arrival.caller.trace,
            "d_version": snapshot.policy.version,
            "d_snapshot": Jsonb(snapshot.document(), dumps=json_text),
            "d_plan": Jsonb(plan.document(), dumps=json_text),
            "d_first_model": first.model_id,
            "d_first_price": first.price and Jsonb(first.price, dumps=json_text),
            "d_escalates": first.escalates,
            "d_request": Jsonb(decisions.request_document(request), dumps=json_text),
        }
