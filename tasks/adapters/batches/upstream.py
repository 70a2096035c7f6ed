"""Lines that a provider works off as one asynchronous batch, at its discount.

Every line has its own hold at the list price, committed and marked sent before the POST, and gets
its own bill. The holds belong to the stored batch and to no process: whoever has claimed the file
goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from models.attempt import Rejected, Reserved, Uncovered
from models.completion import Completion
from models.decision import AttemptOrder
from models.errors import (
    DatabaseFailed,
    HoldFate,
    NotBatched,
    OutcomeUnknown,
    SwitchyardError,
    UpstreamFailed,
)
from models.upstream_batch import (
    BatchResult,
    UpstreamBatch,
    failure_without_answer,
    priced_results,
)
from tasks.adapters.attempts import chat_call, hold_of, refusal_of
from tasks.adapters.batches.ledger import GatheringLedger
from tasks.adapters.booking import Holding, book_answer, book_failure, finish
from tasks.adapters.openrouter import BatchItem
from tasks.adapters.openrouter.calls import to_bytes
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import upstream_batches as store

ITEMS_MIN, ITEMS_MAX = 10, 1000
ITEM_BYTES_MAX = 512 * 1024  # larger ones (images) go the ordinary way
WINDOW = timedelta(hours=24)
LEASE_S = 26 * 3600.0
RENEWAL_S = 3600.0
GATHER_S = 0.3
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH = 2.0, 60.0, 1.5
NAMING_PAUSES_S = (0.2, 1.0, 5.0, 20.0)
GONE_MAX = 5  # so many 404 in a row: the upstream has forgotten the batch
logger = logging.getLogger("switchyard.batches")


@dataclass(slots=True)
class Member:
    """One line in a batch: what it asks, its hold, and who waits for its answer."""

    order: AttemptOrder
    holding: Holding | None
    answer: asyncio.Future[Completion | None]

    @property
    def custom_id(self) -> str:
        """The attempt's key in letters that every provider takes."""
        return f"{self.order.arrival.decision_id}-{self.order.attempt_no}"

    def item(self) -> BatchItem:
        """Return what is submitted for this line."""
        return BatchItem(self.custom_id, chat_call(self.order))

    def end(self, outcome: Completion | BaseException | None) -> None:
        """Give the waiting line its outcome; None sends it the ordinary way."""
        if self.answer.done():
            return
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
            self.answer.exception()  # a line that was cancelled asks no more
        else:
            self.answer.set_result(outcome)


class UpstreamBatches:
    """The provider's batches of one run: gathers orders by model, submits, polls, books."""

    def __init__(
        self,
        opened: Runtime,
        ledger: GatheringLedger,
        batch_id: UUID,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._opened, self._ledger, self._batch_id, self._sleep = opened, ledger, batch_id, sleep
        self._gathering: dict[str, list[Member]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._refused: set[str] = set()

    def takes(self, order: AttemptOrder) -> bool:
        """Say whether this attempt may wait for a day and fits in."""
        if order.attempt_no != 1 or order.arrival.approval is not None:
            return False
        if order.candidate.model_id in self._refused:
            return False
        if order.ends_at is not None and order.ends_at < datetime.now(UTC) + WINDOW:
            return False
        call = chat_call(order)
        is_small = len(to_bytes({"messages": list(call.messages)})) <= ITEM_BYTES_MAX
        return is_small and "provider" not in call.extra_body

    async def ask(self, order: AttemptOrder) -> Completion | None:
        """Return a line's answer from a batch; None when too few came together.

        Raises what an ordinary attempt raises, with the hold booked.
        """
        model_id = order.candidate.model_id
        member = Member(order, None, asyncio.get_running_loop().create_future())
        self._gathering.setdefault(model_id, []).append(member)
        if (timer := self._timers.pop(model_id, None)) is not None:
            timer.cancel()
        if len(self._gathering[model_id]) >= ITEMS_MAX:
            self._submit(model_id)
        else:
            loop = asyncio.get_running_loop()
            self._timers[model_id] = loop.call_later(GATHER_S, self._submit, model_id)
        return await member.answer

    def _submit(self, model_id: str) -> None:
        self._timers.pop(model_id, None)
        members = [one for one in self._gathering.pop(model_id, []) if not one.answer.done()]
        if len(members) < ITEMS_MIN or model_id in self._refused:
            for member in members:
                member.end(None)
            return
        task = asyncio.create_task(self._worked_off(model_id, members))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Stop polling. What a provider has taken goes on there; the next start takes it up."""
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _worked_off(self, model_id: str, members: list[Member]) -> None:
        try:
            await self._submitted(uuid4(), model_id, members)
        except (SwitchyardError, ValueError, RuntimeError) as error:
            for member in members:
                member.end(error)
        finally:
            for member in members:
                member.answer.cancel()

    async def _submitted(self, ours: UUID, model_id: str, members: list[Member]) -> None:
        database = self._opened.database
        await store.open_batch(database, ours, batch_id=self._batch_id, model_id=model_id)
        holding = asyncio.ensure_future(self._held(ours, members))
        try:
            held = await asyncio.shield(holding)
        except asyncio.CancelledError:  # nothing was sent: what is held by then is given back
            await self._fail(ours, await holding, NotBatched("cancelled before it was sent"))
            raise
        if not held:
            return await store.end_batch(database, ours, "nothing could be held")
        try:  # also a cancelled run waits for the id: without it nobody could go on
            upstream_id = await finish(self._posted(ours, model_id, held))
        except UpstreamFailed as failure:
            return await self._fail(ours, held, self._refusal(model_id, failure))
        await self.follow(ours, upstream_id, held)

    async def _posted(self, ours: UUID, model_id: str, held: Sequence[Member]) -> str:
        items = [member.item() for member in held]
        batch = await self._opened.upstream.create_batch(model_id, items)
        for pause_s in NAMING_PAUSES_S:
            try:
                await store.name_batch(self._opened.database, ours, batch.upstream_id)
                return batch.upstream_id
            except DatabaseFailed as failure:
                logger.warning("batch %s is not stored yet: %s", batch.upstream_id, failure)
                await asyncio.sleep(pause_s)
        await store.name_batch(self._opened.database, ours, batch.upstream_id)
        return batch.upstream_id

    async def _held(self, ours: UUID, members: Sequence[Member]) -> list[Member]:
        holds = [
            replace(hold_of(self._opened, one.order, uuid4()), owner=store.owner_of(ours))
            for one in members
        ]
        answers = await self._ledger.reserve_all(holds, LEASE_S)
        for member, hold, answer in zip(members, holds, answers, strict=True):
            match answer:
                case Reserved():
                    member.holding = Holding(answer.selection_id, hold.token)
                case Rejected() | Uncovered():
                    member.end(refusal_of(member.order, answer))
                case _:  # another run has this attempt: the ordinary way waits for it
                    member.end(None)
        return [member for member in members if member.holding is not None]

    def _refusal(self, model_id: str, failure: UpstreamFailed) -> UpstreamFailed:
        """Return what a failed POST is for its lines: the ordinary way, unless it may be billed."""
        if failure.hold_fate is HoldFate.UNKNOWN:
            return failure
        self._refused.add(model_id)
        logger.warning("no upstream batch for %s: %s", model_id, failure)
        words = f"the upstream takes no batch: {failure.message}"
        return NotBatched(words, failure.status, retry_after_s=0.0)

    async def _fail(self, ours: UUID, held: Sequence[Member], failure: UpstreamFailed) -> None:
        await asyncio.gather(*(self._booked_failure(member, failure) for member in held))
        await store.end_batch(self._opened.database, ours, str(failure))

    async def follow(self, ours: UUID, upstream_id: str, held: Sequence[Member]) -> None:
        """Poll a batch until it is over, then book every line; every line gets its outcome."""
        model_id, items = held[0].order.candidate.model_id, [member.item() for member in held]
        logger.warning(
            "%d lines wait for batch %s of the upstream; stopped, the same command goes on",
            len(held),
            upstream_id,
        )
        try:
            batch = await self._over(ours, upstream_id, model_id, items)
        except UpstreamFailed as failure:
            return await self._fail(ours, held, failure)
        batch = priced_results(batch, held[0].order.candidate.price)
        found = {one.custom_id: one for one in batch.results}
        await asyncio.gather(*(self._booked(batch, one, found.get(one.custom_id)) for one in held))
        await store.end_batch(self._opened.database, ours, batch.error)

    async def _over(
        self, ours: UUID, upstream_id: str, model_id: str, items: Sequence[BatchItem]
    ) -> UpstreamBatch:
        pause_s, renewed_s, gone = FIRST_PAUSE_S, 0.0, 0
        while True:
            try:
                batch = await self._opened.upstream.batch(upstream_id, model_id, items)
                gone = 0
                if batch.is_over:
                    return batch
            except UpstreamFailed as failure:  # a look-up is free: only a lost batch ends it
                logger.warning("batch %s cannot be read now: %s", upstream_id, failure)
                gone = gone + 1 if failure.status == 404 else 0
                if gone >= GONE_MAX:
                    raise OutcomeUnknown("the upstream knows the batch no more") from failure
            await self._sleep(pause_s)
            renewed_s += pause_s
            if renewed_s >= RENEWAL_S:
                await self._ledger.extend_leases_of(store.owner_of(ours), LEASE_S)
                renewed_s = 0.0
            pause_s = min(pause_s * PAUSE_GROWTH, LONGEST_PAUSE_S)

    async def _booked(
        self, batch: UpstreamBatch, member: Member, result: BatchResult | None
    ) -> None:
        if result is None or result.completion is None:
            return await self._booked_failure(member, failure_without_answer(batch, result))
        if result.failure is not None:
            return await self._booked_failure(member, result.failure)
        try:
            completion = _with_sure_bill(result.completion)
            member.end(
                await book_answer(self._opened, member.order, holding_of(member), completion)
            )
        except UpstreamFailed as failure:  # its check refused the answer; it is settled
            member.end(failure)

    async def _booked_failure(self, member: Member, failure: UpstreamFailed) -> None:
        await book_failure(self._opened, member.order, holding_of(member), failure)
        member.end(failure)


def holding_of(member: Member) -> Holding:
    """Return the hold of a member that has one."""
    if member.holding is None:
        raise RuntimeError(f"{member.custom_id} has no hold")
    return member.holding


def _with_sure_bill(completion: Completion) -> Completion:
    """Return an answer whose bill nobody stated without usage: it is asked for, not assumed."""
    usage = completion.usage
    return completion if usage and usage.cost_usd is not None else replace(completion, usage=None)
