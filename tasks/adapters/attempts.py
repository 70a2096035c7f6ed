"""One attempt against one model: hold the money, send once, settle, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from models.attempt import Hold, Rejected, Replay, Reserved, Uncovered
from models.completion import Completion, StreamDelta
from models.decision import AttemptOrder
from models.errors import BudgetExceeded, NeverSent, NoBudget, OutcomeUnknown, UpstreamFailed
from tasks.adapters.alerts import after_failure
from tasks.adapters.booking import Holding, book_answer, book_failure, book_interruption, finish
from tasks.adapters.openrouter import ChatCall
from tasks.adapters.race import Nobody, current_contestant, raise_as_lost
from tasks.adapters.resume import await_other_owner
from tasks.adapters.runtime import Runtime, runtime
from tasks.adapters.sink import Sink, current_sink
from tasks.adapters.turns import learn, turn

SENT_MARGIN_S = 60.0
LEASE_RENEWAL_S = 20.0
NOTE_AFTER_S = 0.05  # an answer that is here by then says its generation itself
Book = Callable[[Runtime, AttemptOrder, Holding, Completion], Awaitable[Completion]]


async def run_attempt(order: AttemptOrder) -> Completion:
    """Ask the order's model once, paid from a hold made before and settled after.

    Raises BudgetExceeded or NoBudget when nothing may be held, and an UpstreamFailed leaf when
    the attempt failed; the hold is then already released, settled or marked unknown.
    """
    return await visibly(_attempt(order))


async def visibly(attempt: Awaitable[Completion]) -> Completion:
    """Return what the attempt does; its failure knows whether the caller saw a part of it."""
    try:
        return await attempt
    except UpstreamFailed as failure:
        sink = current_sink()
        failure.visible = sink is not None and sink.started
        raise


async def _attempt(order: AttemptOrder) -> Completion:
    opened = runtime()
    async with turn(opened, order) as in_time:
        return await attempt_in_turn(in_time)


async def attempt_in_turn(order: AttemptOrder) -> Completion:
    """Make an attempt whose turn under the rate limits has come."""
    opened, token = runtime(), uuid4()
    if (approved := await _approved_hold(opened, order, token)) is not None:
        return await _send(opened, order, approved)
    answer = await opened.ledger.reserve(hold_of(opened, order, token))
    match answer:
        case Reserved():
            return await _send(opened, order, Holding(answer.selection_id, token))
        case Replay():
            return await await_other_owner(opened, answer.attempt)
        case Rejected() | Uncovered():
            raise refusal_of(order, answer)


def refusal_of(order: AttemptOrder, answer: Rejected | Uncovered) -> BudgetExceeded | NoBudget:
    """Return the error that a refused hold is."""
    if isinstance(answer, Uncovered):
        return NoBudget("no active budget definition covers this call: set one, or it is free")
    return BudgetExceeded(
        order.candidate.worst_case_usd,
        min(blocking.remaining_usd for blocking in answer.blocking),
        tuple(blocking.budget for blocking in answer.blocking),
    )


async def _approved_hold(opened: Runtime, order: AttemptOrder, token: UUID) -> Holding | None:
    """Take over the hold that waited for a person; None when this attempt has none of its own."""
    approval = order.arrival.approval
    if approval is None or approval.attempt_no != order.attempt_no:
        return None
    taken = await opened.ledger.take_over(
        approval.selection_id, approval.token, token, owner=opened.owner
    )
    return Holding(approval.selection_id, token) if taken else None


def hold_of(opened: Runtime, order: AttemptOrder, token: UUID) -> Hold:
    """Return what the ledger is asked to hold for an attempt."""
    arrival, candidate = order.arrival, order.candidate
    return Hold(
        key=f"{arrival.decision_id}/{order.attempt_no}",
        request_hash=arrival.request_hash,
        decision_id=arrival.decision_id,
        attempt_no=order.attempt_no,
        token=token,
        owner=opened.owner,
        model_id=candidate.model_id,
        provider=candidate.provider,
        policy=order.policy,
        worst_case_usd=candidate.worst_case_usd,
        elastic_usd=candidate.elastic_usd,
        task_cap_usd=order.task_cap_usd,
        task_id=arrival.request.task_id,
        worker_id=arrival.request.worker_id,
        task_type=arrival.classification.task_type,
        complexity=arrival.classification.complexity,
        simulated=opened.settings.simulated,
    )


async def _send(opened: Runtime, order: AttemptOrder, holding: Holding) -> Completion:
    lease_s = order.timeout_s + SENT_MARGIN_S
    if not await opened.ledger.mark_sent(holding.selection_id, holding.token, lease_s):
        raise NeverSent("the hold expired before it could be used")
    return await ask(opened, order, holding, book=book_answer)


async def ask(opened: Runtime, order: AttemptOrder, holding: Holding, *, book: Book) -> Completion:
    """Send an attempt whose hold is marked sent, and book how it ends; `book` takes an answer."""
    if (contestant := current_contestant()) is not None:
        contestant.sent.set()
    try:
        completion = await opened.spans.attempt(order, _call(opened, order, holding))
    except UpstreamFailed as failure:
        await book_failure(opened, order, holding, failure)
        await learn(opened, order.candidate.model_id, failure)
        await after_failure(opened, order.candidate.model_id)
        raise
    except BaseException as interruption:  # cancelled or killed: the money must not be left open
        await finish(book_interruption(opened, holding, interruption))
        raise_as_lost(interruption)
        raise
    return await book(opened, order, holding, completion)


async def _call(opened: Runtime, order: AttemptOrder, holding: Holding) -> Completion:
    call = chat_call(order)
    sink = None if order.is_provisional else current_sink()  # nothing is seen before it is accepted
    if sink is None and current_contestant() is not None:
        sink = Nobody()
    async with _noting(opened, holding) as note:
        if sink is None:
            return await opened.upstream.complete(call, deadline_s=order.timeout_s, on_headers=note)
        await sink.chosen(order.arrival.decision_id, order.policy, order.candidate.model_id)
        async with _renewed_lease(opened, holding, order.timeout_s + SENT_MARGIN_S):
            stream = opened.upstream.stream(call, deadline_s=order.timeout_s, on_headers=note)
            async with contextlib.aclosing(stream):
                return await _pass_on(stream, sink)


@contextlib.asynccontextmanager
async def _noting(
    opened: Runtime, holding: Holding
) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Yield what keeps the generation's id, with which a lost answer can still be priced.

    The note is written a moment later: an answer that came whole in the meantime is booked with
    its id anyway, and needs no commit of its own for it. When the call fails or is cut, the note
    is written before its end is booked.
    """
    pending: list[tuple[asyncio.TimerHandle, str]] = []
    writing: list[asyncio.Task[bool]] = []

    def write(generation_id: str) -> None:
        noting = opened.ledger.note_generation(holding.selection_id, generation_id)
        writing.append(asyncio.ensure_future(noting))

    async def note(generation_id: str) -> None:
        loop = asyncio.get_running_loop()
        pending.append((loop.call_later(NOTE_AFTER_S, write, generation_id), generation_id))

    came_whole = False
    try:
        yield note
        came_whole = True
    finally:
        for timer, generation_id in pending:
            timer.cancel()
            if not came_whole and not writing:
                write(generation_id)
        for task in writing:
            if came_whole:
                task.cancel()
            else:
                await finish(task)


async def _pass_on(stream: Any, sink: Sink) -> Completion:  # an async generator of both kinds
    async for part in stream:
        if isinstance(part, StreamDelta):
            await sink.piece(part)
        else:
            completion: Completion = part
            return completion
    raise OutcomeUnknown("the stream ended without an answer")


@contextlib.asynccontextmanager
async def _renewed_lease(opened: Runtime, holding: Holding, lease_s: float) -> Any:
    """Keep a SENT row from expiring while its stream is alive."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(LEASE_RENEWAL_S)
            await opened.ledger.extend_lease(holding.selection_id, holding.token, lease_s)

    renewal = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewal.cancel()


def chat_call(order: AttemptOrder) -> ChatCall:
    """Return what an order asks of its model."""
    request, candidate = order.arrival.request, order.candidate
    return ChatCall(
        model_id=candidate.model_id,
        messages=request.chat_messages(),
        max_tokens=candidate.max_tokens,
        temperature=order.temperature,
        price=candidate.price,
        tools=request.tools,
        tool_choice=request.tool_choice,
        response_format=request.response_format,
        extra_body=request.extra_body,
        attempt_id=f"{order.arrival.decision_id}/{order.attempt_no}",
    )
