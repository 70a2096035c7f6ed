"""One answer for all who ask the same: found in the cache, waited for, or asked for and kept.

Only policies that ask for a cache come here. Of equal requests that are under way at once, in
whatever process, one leads and asks a model; the others follow. The lead is a lease: a leader that
dies stops renewing it, and one of its followers leads on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

from models.completion import Completion, StreamDelta
from models.decision import Arrival, Ending
from models.errors import DatabaseFailed
from models.plan import Plan
from models.policy import Policy
from models.result import RoutingResult, Status
from models.reuse import KeptAnswer, answer_key, kept_answer, may_be_looked_up, may_lead
from models.snapshot import Snapshot
from tasks.adapters.booking import finish
from tasks.adapters.runtime import Runtime, runtime
from tasks.adapters.sink import current_sink
from tasks.adapters.store import answers as store
from tasks.adapters.store.answers import Flight

LEASE_S = 15.0
RENEWAL_S = 5.0
OPEN_S = 5.0  # so long nobody waits after an answer that was not kept
POLL_S, POLL_S_MAX, POLL_GROWTH = 0.02, 0.5, 1.5
ANSWER_BYTES_MAX = 1024 * 1024  # a longer answer is not kept
logger = logging.getLogger("switchyard.answers")


@dataclass(frozen=True, slots=True)
class Own:
    """No answer is there: ask. `flight` says as what it is kept; `leads` when others may wait."""

    flight: Flight | None
    leads: bool = False


Found = KeptAnswer | Own
Find = Callable[[Arrival, Snapshot, Plan], Awaitable[Found]]


@dataclass(slots=True)
class Shared:
    """What a decision shares with equal ones: the answer that was there, or its own result."""

    ending: Ending | None = None
    result: RoutingResult | None = None

    def is_doubtful(self) -> bool:
        """Say whether the answer was given although nothing agreed with it."""
        return self.ending is not None and self.ending.is_unconfirmed


async def find_answer(arrival: Arrival, snapshot: Snapshot, plan: Plan) -> Found:
    """Return a kept answer, waiting for one that is under way; `Own` when this one has to ask.

    The wait ends with the deadline, with the leader's lease, or with its answer. A hit is streamed
    to who listens.
    """
    key = answer_key(arrival.request, snapshot.policy, plan)
    if key is None or not may_be_looked_up(plan):
        return Own(None)
    opened = runtime()
    flight = Flight(key, uuid4(), arrival.decision_id, opened.owner, LEASE_S)
    found = await _found(opened, arrival, flight, leads=may_lead(plan))
    if isinstance(found, KeptAnswer):
        await _pass_on(arrival, snapshot.policy, found.completion())
    return found


async def _found(opened: Runtime, arrival: Arrival, flight: Flight, *, leads: bool) -> Found:
    pause_s, waited = POLL_S, False
    while True:
        way, kept = await _looked(opened, flight, leads=leads)
        if kept is not None:
            return replace(kept, was_awaited=waited)
        if way != "follow":
            return Own(flight, leads=way == "lead")
        if arrival.deadline_at is not None and datetime.now(UTC) >= arrival.deadline_at:
            return Own(None)  # too late to ask, and the sentence says so
        waited = True
        await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
        pause_s = min(pause_s * POLL_GROWTH, POLL_S_MAX)


async def _looked(opened: Runtime, flight: Flight, *, leads: bool) -> tuple[str, KeptAnswer | None]:
    """Look once; who is cancelled meanwhile gives back the lead that the database granted."""
    asked = asyncio.ensure_future(store.find_answer(opened.database, flight, leads=leads))
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:
        await finish(_give_back(opened, flight, asked))
        raise


async def _give_back(
    opened: Runtime, flight: Flight, asked: Awaitable[tuple[str, KeptAnswer | None]]
) -> None:
    try:
        way, _ = await asked
        if way == "lead":
            await store.leave_lead(opened.database, flight)
    except DatabaseFailed as failure:
        logger.warning("a lead was not given back, others wait %.0f s: %s", LEASE_S, failure)


async def _pass_on(arrival: Arrival, policy: Policy, completion: Completion) -> None:
    sink = current_sink()
    if sink is None:
        return
    await sink.chosen(arrival.decision_id, policy.name, completion.model_id)
    delta = dict(completion.message) | {"role": "assistant", "content": completion.content}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{**call, "index": index} for index, call in enumerate(calls)]
    await sink.piece(StreamDelta(completion.content, delta, completion.model_id))
    reason = completion.finish_reason
    await sink.piece(StreamDelta("", {}, completion.model_id, finish_reason=reason))


@contextlib.asynccontextmanager
async def sharing(
    arrival: Arrival, snapshot: Snapshot, plan: Plan, find: Find
) -> AsyncIterator[Shared]:
    """Yield the answer of an equal decision, or let this one's result serve those that come.

    What a person approved is asked as it was approved.
    """
    if snapshot.policy.cache is None or arrival.approval is not None:
        yield Shared()
        return
    found = await find(arrival, snapshot, plan)
    if isinstance(found, KeptAnswer):
        yield Shared(ending=_reused(plan, found))
        return
    shared = Shared()
    async with _leading(found, snapshot.policy, shared):
        yield shared


def _reused(plan: Plan, kept: KeptAnswer) -> Ending:
    return Ending(
        plan,
        Status.COMPLETED,
        kept.completion(),
        (kept.reason(),),
        reused_from=kept.decision_id,
    )


@contextlib.asynccontextmanager
async def _leading(own: Own, policy: Policy, shared: Shared) -> AsyncIterator[None]:
    """Keep the lead while this one asks, and its answer afterwards; end the lead in any case."""
    opened, flight = runtime(), own.flight
    if flight is None:
        yield
        return
    renewal = asyncio.create_task(_renew(opened, flight)) if own.leads else None
    try:
        yield
    finally:
        if renewal is not None:
            renewal.cancel()
        await finish(_land(opened, own, flight, policy, shared))


async def _land(opened: Runtime, own: Own, flight: Flight, policy: Policy, shared: Shared) -> None:
    """End the flight; an answer that is paid must not fail because it could not be kept."""
    result = shared.result
    try:
        answer = None if result is None or shared.is_doubtful() else kept_answer(result)
        if answer is not None and policy.cache is not None and _fits(answer):
            await store.keep_answer(
                opened.database,
                flight,
                answer,
                policy=policy.name,
                version=policy.version,
                ttl_s=policy.cache.ttl_s,
            )
        elif own.leads and result is not None and result.status is Status.COMPLETED:
            await store.open_lead(opened.database, flight, OPEN_S)
        elif own.leads:
            await store.leave_lead(opened.database, flight)
    except DatabaseFailed as failure:
        logger.warning("an answer was not kept, its followers wait %.0f s: %s", LEASE_S, failure)


def _fits(answer: dict[str, object]) -> bool:
    return len(str(answer["content"])) + len(str(answer["message"])) <= ANSWER_BYTES_MAX


async def _renew(opened: Runtime, flight: Flight) -> None:
    while True:
        await asyncio.sleep(RENEWAL_S)
        try:
            if not await store.renew_lead(opened.database, flight):
                return  # the lease ran out and another leads: both will have an answer
        except DatabaseFailed as failure:
            logger.warning("the lead of an answer was not renewed: %s", failure)
