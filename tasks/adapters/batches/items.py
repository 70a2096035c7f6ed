"""One line of a batch: the five steps of a decision, the choice shared with its group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from models.attempt import AttemptState
from models.completion import Completion
from models.decision import Arrival, AttemptOrder, Caller, Ending
from models.errors import AnswerRejected, NotBatched, UpstreamFailed
from models.plan import OutKind, Plan
from models.request import RoutingRequest
from models.result import RoutingResult, Status
from models.result_of import result_of
from models.snapshot import Snapshot
from models.waiting import WAITING
from tasks.adapters import attempts, decisions
from tasks.adapters.batches.groups import Choice, Group, request_document
from tasks.adapters.decisions import attempt_result
from tasks.adapters.runtime import runtime
from tasks.adapters.store.batch_results import Ended
from tasks.adapters.store.requests import keep_request
from tasks.adapters.store.set_aside import set_aside

if TYPE_CHECKING:
    from tasks.adapters.batches.run import BatchRun

TURN_WAIT_S = 3600.0


class MoneyHeldBySiblings(Exception):
    """The line was refused while others of its batch held money: it may fit when they end."""


@dataclass(slots=True)
class Line:
    """A line on its way. `group` is None for one that goes on from an earlier run's decision."""

    run: BatchRun
    number: int
    arrival: Arrival
    group: Group | None
    choice: Choice | None = None
    met_failure: bool = False
    was_alone: bool = False

    async def arrive(self, request: RoutingRequest, caller: Caller) -> Arrival:
        """Return the arrival, opened with the others of its chunk; its time starts now."""
        deadlines = (self.arrival.deadline_at, self.run.batch.deadline_at)
        self.arrival = replace(
            self.arrival,
            arrived_at=datetime.now(UTC),
            # not stored with the decision: the next start has a deadline of its own
            deadline_at=min((one for one in deadlines if one is not None), default=None),
        )
        return self.arrival

    async def look(self, arrival: Arrival) -> Snapshot:
        """Return the group's snapshot; a line that goes on reads its own."""
        if self.group is None:
            return await decisions.snapshot(arrival)
        self.choice = await self.run.groups.choice_for(self.group, arrival)
        return self.choice.snapshot

    async def choose(self, arrival: Arrival, snapshot: Snapshot) -> Plan:
        """Return the group's plan; a line that goes on gets its own."""
        if self.choice is None:
            return await decisions.select_and_record(arrival, snapshot)
        return self.choice.plan_for(arrival)

    async def execute(self, order: AttemptOrder) -> Completion:
        """Make one attempt, and tell the group how its model did.

        A line waits for its turn under a rate limit as long as it may: nobody waits for the line.
        """
        try:
            completion = await self._asked(replace(order, limit_wait_s=TURN_WAIT_S))
        except UpstreamFailed as failure:
            self.met_failure = True
            # an answer that fails its check says nothing about the model's health
            if self.group is not None and not isinstance(failure, AnswerRejected | NotBatched):
                self.group.note_failure(order.candidate.model_id)
            raise
        if self.group is not None:
            self.group.note_answer(order.candidate.model_id)
        return completion

    async def _asked(self, order: AttemptOrder) -> Completion:
        upstream = self.run.upstream
        if upstream is not None and self._may_wait(order) and upstream.takes(order):
            answer = await upstream.ask(order)
            if answer is not None:
                return answer
        async with self.run.calls:
            return await attempts.run_attempt(order)

    def _may_wait(self, order: AttemptOrder) -> bool:
        """Say whether a provider's batch may answer: not one of two models that are compared."""
        if self.choice is None:
            return not order.is_provisional
        chain = self.choice.plan.chain
        return chain is None or not chain.asks_two

    async def record(self, arrival: Arrival, ending: Ending) -> RoutingResult:
        """Store the result with those of other lines; a refusal that siblings caused is none."""
        if self._may_fit_later(ending):
            raise MoneyHeldBySiblings
        if ending.status in WAITING or arrival.approval is not None:
            return await self._record_waiting(arrival, ending)
        opened = runtime()
        await set_aside(opened.database, arrival.decision_id, ending.set_aside)
        asked = ending.reused_from is None or arrival.attempts_made > 0
        rows = await opened.ledger.attempts(arrival.decision_id) if asked else []
        result = result_of(
            arrival,
            ending,
            [attempt_result(row) for row in rows if row.state is not AttemptState.RESERVED],
            simulated=opened.settings.simulated,
            now=datetime.now(UTC),
        )
        await self.end(result, is_stored=False, reused_from=ending.reused_from)
        return result

    async def _record_waiting(self, arrival: Arrival, ending: Ending) -> RoutingResult:
        await keep_request(runtime().database, arrival.decision_id, request_document(arrival))
        result = await decisions.finish(arrival, ending)
        await self.end(result, is_stored=True)
        return result

    async def end(
        self,
        result: RoutingResult,
        *,
        is_stored: bool,
        is_known: bool = False,
        reused_from: UUID | None = None,
    ) -> None:
        """Store that this line has ended so."""
        leader_id = None if self.choice is None else self.choice.leader_id
        document = result.model_dump(mode="json")
        ended = Ended(
            line_no=self.number,
            decision_id=result.decision_id,
            status=result.status.value,
            document=document,
            cost_usd=result.cost_usd,
            planned_with=leader_id,
            is_stored=is_stored,
            is_known=is_known,
            reused_from=reused_from,
        )
        await self.run.endings.end(ended)

    def _may_fit_later(self, ending: Ending) -> bool:
        """Say whether a refusal for money may be due to what siblings hold, or to an old choice."""
        if ending.status not in (Status.REJECTED, Status.PARKED) or self.choice is None:
            return False
        refusal = self.choice.plan.refusal
        if self.met_failure or (refusal is not None and refusal.kind is not OutKind.MONEY):
            return False
        if self.run.active > 1:
            return True
        return not (self.was_alone or self.choice.is_fresh_refusal())

    async def wait_for_siblings(self) -> None:
        """Wait until another line has ended, if any is under way; then look at the money again."""
        if self.group is not None and self.choice is not None:
            self.group.note_refusal(self.choice)
        self.was_alone = not await self.run.next_ending()
        made = len(await runtime().ledger.attempts(self.arrival.decision_id))
        self.arrival = replace(self.arrival, attempts_made=made)


async def settle_down(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for every line of a chunk; then raise the first error, so that none is cut off."""
    errors = [error for error in await asyncio.gather(*tasks, return_exceptions=True) if error]
    if errors:
        raise errors[0]
