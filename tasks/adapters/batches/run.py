"""A batch at work: its lines in chunks, a bounded number of them in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from models.answer_checks import accept_problem
from models.batch import Batch, BatchCounts, BatchItem, group_key
from models.canary import with_canary
from models.classification import classify
from models.decision import Arrival, Caller
from models.errors import BadInput, InvalidRequest, SwitchyardError
from models.features import request_features
from models.policy import Policy, policy_for
from models.request import Trace
from models.result import RoutingResult
from models.saving import first_choice
from tasks.adapters import decisions
from tasks.adapters.attempts import SENT_MARGIN_S
from tasks.adapters.batches.endings import Endings
from tasks.adapters.batches.groups import Group, Groups
from tasks.adapters.batches.items import Line, MoneyHeldBySiblings, settle_down
from tasks.adapters.batches.ledger import GatheringLedger
from tasks.adapters.batches.upstream import UpstreamBatches
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import batch_results, batches
from tasks.adapters.store.batch_results import Planned
from tasks.adapters.store.canaries import read_serving

UPSTREAM_LINES = 10_000
Route = Callable[[Line], Awaitable[RoutingResult]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive lines of a batch; small enough for a Prefect parameter."""

    batch_id: UUID
    first: int
    last: int
    lines: int


class BatchRun:
    """One process's work on one batch; every line's end wakes those that wait for money."""

    def __init__(
        self,
        opened: Runtime,
        batch: Batch,
        counts: BatchCounts,
        *,
        trace: Trace,
        flow_run_id: UUID | None,
        upstream_batch: bool = False,
    ) -> None:
        self.batch, self.active = batch, 0
        self._ledger = GatheringLedger(
            opened.database,
            sent_lease_s=opened.settings.switchyard_request_timeout_s + SENT_MARGIN_S,
            crowd=self._crowd,
        )
        self.opened = replace(opened, ledger=self._ledger)
        self.provider_batches = UpstreamBatches(self.opened, self._ledger, batch.batch_id)
        self.upstream = self.provider_batches if upstream_batch else None
        self.taken_up: set[UUID] = set()  # decisions whose bills came before the lines go on
        self.groups = Groups(self.opened)
        keep = opened.settings.switchyard_store_prompts
        self.endings = Endings(opened.database, batch, counts, self._crowd, keep_requests=keep)
        self._trace, self._flow_run_id = trace, flow_run_id
        # lines that wait for a provider's batch hold a place, but make no call
        self._places = asyncio.Semaphore(UPSTREAM_LINES if upstream_batch else batch.concurrency)
        self.calls = asyncio.Semaphore(batch.concurrency)
        self._ending, self._queue = asyncio.Condition(), asyncio.Lock()
        self._is_broken = False

    def _crowd(self) -> int:
        return self.active

    def counts(self) -> BatchCounts:
        """Return how far the batch is."""
        return self.endings.tally.counts()

    async def next_chunk(self, after: int, limit: int) -> Chunk | None:
        """Return the lines that come next; None at the end, and when the world has failed."""
        if self._is_broken:
            return None
        found = await batches.next_chunk(
            self.opened.database, self.batch.batch_id, after=after, limit=limit
        )
        return None if found is None else Chunk(self.batch.batch_id, *found)

    async def route_chunk(self, chunk: Chunk, route: Route) -> int:
        """Route a chunk's lines; return how many. A line's failure never stops another.

        Raises what the world did to a line (no database, say) after all lines have come to rest.
        """
        try:
            items = await batches.next_items(
                self.opened.database, self.batch, after=chunk.first - 1, last=chunk.last
            )
            lines = await self._arrivals(items)
        except SwitchyardError:
            self._is_broken = True
            raise
        await settle_down([asyncio.create_task(self._in_turn(line, route)) for line in lines])
        return len(lines)

    async def next_ending(self) -> bool:
        """Wait until a line ends; False at once when none is under way."""
        async with self._ending:
            if self.active == 0:
                return False
            await self._ending.wait()
            return True

    async def _in_turn(self, line: Line, route: Route) -> None:
        async with self._places:
            if self._is_broken:
                return
            try:
                await self._attempted(line, route)
            except BadInput as problem:
                await self.endings.refuse(line.number, str(problem))
            except SwitchyardError:
                self._is_broken = True  # the rest stays for the next start
                raise
            finally:
                self._ledger.forget(line.arrival.decision_id)

    async def _attempted(self, line: Line, route: Route) -> None:
        try:
            await self._under_way(line, route)
        except MoneyHeldBySiblings:
            async with self._queue:  # one at a time, so that they do not wait for each other
                while True:
                    await line.wait_for_siblings()
                    try:
                        return await self._under_way(line, route)
                    except MoneyHeldBySiblings:
                        continue

    async def _under_way(self, line: Line, route: Route) -> None:
        self.active += 1
        try:
            await route(line)
        finally:
            self.active -= 1
            async with self._ending:
                self._ending.notify_all()

    async def _arrivals(self, items: list[BatchItem]) -> list[Line]:
        """Open the decisions of new lines in one statement; others go on where they were."""
        policies = await read_serving(self.opened.database)
        known = await batch_results.known_keys(self.opened.database, [item.key for item in items])
        fresh, lines = list[Line](), list[Line]()
        for item in items:
            if item.key in known:
                lines += await self._resumed_or_refused(item)
                continue
            try:
                fresh.append(await self._fresh(item, policies))
            except BadInput as problem:
                await self.endings.refuse(item.number, str(problem))
        return lines + await self._opened(fresh)

    async def _resumed_or_refused(self, item: BatchItem) -> list[Line]:
        try:
            return await self._resumed(item)
        except BadInput as problem:
            await self.endings.refuse(item.number, str(problem))
            return []

    async def _resumed(self, item: BatchItem) -> list[Line]:
        arrival = await decisions.receive(item.request, self._caller(item.key))
        line = Line(self, item.number, arrival, None)
        if arrival.stored is None:
            return [line]
        is_known = arrival.decision_id not in self.taken_up
        await line.end(arrival.stored, is_stored=True, is_known=is_known)
        return []

    async def _fresh(self, item: BatchItem, policies: list[Policy]) -> Line:
        request = item.request
        if request.accept is not None and (problem := accept_problem(request.accept)) is not None:
            raise InvalidRequest(problem)
        classification = classify(request)
        choice = with_canary(
            policy_for(classification.task_type, policies, request.policy), policies, item.key
        )
        arrived_at, seconds = datetime.now(UTC), request.deadline_s
        arrival = Arrival(
            decision_id=uuid4(),
            request=request,
            request_hash=request.fingerprint(),
            caller=self._caller(item.key),
            classification=classification,
            policy=choice.policy,
            policy_reason=choice.reason,
            arrived_at=arrived_at,
            deadline_at=None if seconds is None else arrived_at + timedelta(seconds=seconds),
        )
        features = request_features(request)
        key = group_key(choice.policy, classification, features, request.task_id)
        group = await self.groups.group_of(key, arrival)
        return Line(self, item.number, arrival, group)

    async def _opened(self, lines: list[Line]) -> list[Line]:
        if not lines:
            return []
        rows = [(line.arrival, _planned(line.group)) for line in lines if line.group is not None]
        opened = await batch_results.open_decisions(
            self.opened.database, rows, simulated=self.opened.settings.simulated
        )
        ready = list[Line]()
        for line in lines:
            if line.arrival.decision_id in opened:
                ready.append(line)
            else:  # another caller used the same key meanwhile
                if line.group is not None:
                    line.group.note_lost(line.arrival.decision_id)
                item = BatchItem(line.number, line.arrival.request, str(line.arrival.caller.key))
                ready += await self._resumed_or_refused(item)
        return ready

    def _caller(self, key: str) -> Caller:
        return Caller(
            key=key, trace=self._trace, flow_run_id=self._flow_run_id, owner=self.opened.owner
        )


def _planned(group: Group) -> Planned:
    choice = group.choice
    policy = choice.snapshot.policy
    return Planned(
        leader_id=choice.leader_id,
        policy=policy.name,
        policy_version=policy.version,
        first=first_choice(choice.snapshot, choice.plan),
        snapshot=choice.snapshot,
        plan=choice.plan,
    )
