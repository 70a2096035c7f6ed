"""Waiting for a turn under the upstream's rate limits, before any money is held.

The turn comes first and the hold second: a call that waits holds no money that another could
spend meanwhile. A turn whose hold is then refused is lost, which costs a moment and no money.
No transaction and no connection is kept while a call waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from models.decision import AttemptOrder
from models.errors import DatabaseFailed, NoTurn, NoTurnForAny, UpstreamFailed
from models.rate_limit import EVERY_CALL, lesson_of
from tasks.adapters.booking import finish
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import limits as store

LEASE_MARGIN_S = 60.0
logger = logging.getLogger("switchyard.limits")


@contextlib.asynccontextmanager
async def turn(opened: Runtime, order: AttemptOrder) -> AsyncIterator[AttemptOrder]:
    """Wait for the order's turn and yield it with the time that is left; free without a limit.

    Raises NoTurn when no turn comes in time: nothing is held then and nothing was sent.
    """
    if not await opened.limits.concern(order.candidate.model_id):
        yield order
        return
    ticket = uuid4()
    try:
        must_return = await _wait(opened, order, ticket)
    except asyncio.CancelledError:
        await _give_back(opened, ticket)
        raise
    try:
        yield _with_time_left(order)
    finally:
        if must_return:
            await _give_back(opened, ticket)


async def _give_back(opened: Runtime, ticket: UUID) -> None:
    """Return a ticket; one that cannot be returned ends with its lease, and no answer is lost."""
    try:
        await finish(store.return_ticket(opened.database, ticket))
    except DatabaseFailed as error:
        logger.warning("a turn was not given back: %s", error)


async def _wait(opened: Runtime, order: AttemptOrder, ticket: UUID) -> bool:
    """Return when the turn has come, and say whether the ticket must be returned at its end."""
    loop, model_id = asyncio.get_running_loop(), order.candidate.model_id
    waits_s = min(order.limit_wait_s, _left_s(order))
    until_s = loop.time() + waits_s
    request = order.arrival.request
    while True:
        answer = await store.take_turn(
            opened.database,
            opened.limits.account,
            model_id=model_id,
            worker=request.worker_id or opened.owner,
            ticket=ticket,
            patience_s=until_s - loop.time(),
            lease_s=order.timeout_s + LEASE_MARGIN_S,
        )
        if answer.answer == "late":
            raise _no_turn(answer, waits_s)
        await asyncio.sleep(answer.wait_s)
        if answer.answer == "go":
            return answer.must_return


def _no_turn(answer: store.Turn, waits_s: float) -> NoTurn:
    every = answer.scope == EVERY_CALL
    whose = "the key" if every else answer.scope
    message = (
        f"the rate limit of {whose} has no room within {waits_s:.3g} s,"
        f" the next turn is in {answer.wait_s:.3g} s"
    )
    return (NoTurnForAny if every else NoTurn)(message, retry_after_s=answer.wait_s)


def _with_time_left(order: AttemptOrder) -> AttemptOrder:
    """Return the order, its time bounded by the end that came nearer meanwhile.

    Raises NoTurn when that has passed: a call that cannot be waited for must not be paid for.
    """
    left_s = _left_s(order)
    if left_s <= 0:
        raise NoTurn("its turn under the rate limit came too late")
    return replace(order, timeout_s=min(order.timeout_s, left_s))


def _left_s(order: AttemptOrder) -> float:
    if order.ends_at is None:
        return math.inf
    return (order.ends_at - datetime.now(UTC)).total_seconds()


async def learn(opened: Runtime, model_id: str, failure: UpstreamFailed) -> None:
    """Share what a 429 teaches with every process; its own request goes on either way."""
    lesson = lesson_of(failure, model_id)
    if lesson is None:
        return
    try:
        await store.learn_limit(opened.database, opened.limits.account, lesson)
    except DatabaseFailed as error:
        logger.warning("a rate limit was not learned: %s", error)
    opened.limits.forget()
