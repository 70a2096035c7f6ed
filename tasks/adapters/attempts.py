"""One attempt against one model: hold the money, send once, settle, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

from models.answer_checks import check_answer

from models.attempt import Bill, Hold, Rejected, Replay, Reserved, Uncovered
from models.completion import Completion, StreamDelta
from models.decision import AttemptOrder
from models.errors import (
    AnswerRejected,
    BudgetExceeded,
    HoldFate,
    NeverSent,
    NoBudget,
    OutcomeUnknown,
    UpstreamFailed,
)
from models.pricing import cost_usd
from models.result import Outcome
from models.tokens import image_count
from tasks.adapters.openrouter import ChatCall
from tasks.adapters.resume import await_other_owner
from tasks.adapters.runtime import Runtime, runtime
from tasks.adapters.sink import Sink, current_sink

SENT_MARGIN_S = 60.0
LEASE_RENEWAL_S = 20.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Holding:
    """An open hold: its row and the fence token that only this caller knows."""

    selection_id: UUID
    token: UUID


async def run_attempt(order: AttemptOrder) -> Completion:
    """Ask the order's model once, paid from a hold made before and settled after.

    Raises BudgetExceeded or NoBudget when nothing may be held, and an UpstreamFailed leaf when
    the attempt failed; the hold is then already released, settled or marked unknown.
    """
    opened = runtime()
    token = uuid4()
    answer = await opened.ledger.reserve(_hold(opened, order, token))
    match answer:
        case Reserved():
            return await _send(opened, order, Holding(answer.selection_id, token))
        case Replay():
            return await await_other_owner(opened, answer.attempt)
        case Rejected():
            raise BudgetExceeded(
                order.candidate.worst_case_usd,
                min(blocking.remaining_usd for blocking in answer.blocking),
                tuple(blocking.budget for blocking in answer.blocking),
            )
        case Uncovered():
            raise NoBudget("no active budget definition covers this call: set one, or it is free")


def _hold(opened: Runtime, order: AttemptOrder, token: UUID) -> Hold:
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
    try:
        completion = await _call(opened, order, holding)
    except UpstreamFailed as failure:
        await _book_failure(opened, order, holding, failure)
        raise
    except BaseException as interruption:  # cancelled or killed: the money must not be left open
        await _finish(_book_interruption(opened, holding, interruption))
        raise
    return await _book_answer(opened, order, holding, completion)


async def _call(opened: Runtime, order: AttemptOrder, holding: Holding) -> Completion:
    async def note(generation_id: str) -> None:
        await opened.ledger.note_generation(holding.selection_id, generation_id)

    call, sink = _chat_call(order), current_sink()
    if sink is None:
        return await opened.upstream.complete(call, deadline_s=order.timeout_s, on_headers=note)
    await sink.chosen(order.arrival.decision_id, order.policy, order.candidate.model_id)
    async with _renewed_lease(opened, holding, order.timeout_s + SENT_MARGIN_S):
        stream = opened.upstream.stream(call, deadline_s=order.timeout_s, on_headers=note)
        async with contextlib.aclosing(stream):
            return await _pass_on(stream, sink)


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


def _chat_call(order: AttemptOrder) -> ChatCall:
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


async def _book_answer(
    opened: Runtime, order: AttemptOrder, holding: Holding, completion: Completion
) -> Completion:
    problem = None
    if order.arrival.request.accept is not None:
        problem = check_answer(order.arrival.request.accept, completion.content)
    outcome = Outcome.OK if problem is None else Outcome.REJECTED_ANSWER
    await _settle_or_keep(opened, order, holding, completion, outcome, problem)
    if problem is not None:
        raise AnswerRejected(problem, completion=completion)
    return completion


async def _settle_or_keep(
    opened: Runtime,
    order: AttemptOrder,
    holding: Holding,
    completion: Completion,
    outcome: Outcome,
    error: str | None,
    error_kind: str | None = None,
) -> None:
    """Settle by the stated cost, else by the catalogue's price; without usage keep the hold."""
    usage = completion.usage
    if usage is None:
        await _finish(
            opened.ledger.mark_unknown(
                holding.selection_id,
                holding.token,
                error=error or "the upstream stated no usage",
                error_kind=error_kind or "no_usage",
                generation_id=completion.generation_id,
            )
        )
        return
    images = image_count(order.arrival.request.chat_messages())
    stated = usage.cost_usd is not None
    bill_usd: Decimal = (
        usage.cost_usd
        if usage.cost_usd is not None
        else cost_usd(order.candidate.price, usage, images=images)
    )
    bill = Bill(
        cost_usd=bill_usd,
        source="usage" if stated else "catalogue",
        outcome=outcome,
        error=error,
        error_kind=error_kind or (AnswerRejected.kind if error else None),
        provider=completion.provider,
        served_model_id=completion.model_id,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        latency_ms=completion.latency_ms,
        first_token_ms=completion.first_token_ms,
        generation_id=completion.generation_id,
        response=_stored_response(completion),
    )
    await _finish(opened.ledger.settle(holding.selection_id, bill))


def _stored_response(completion: Completion) -> dict[str, Any]:
    return {
        "content": completion.content,
        "message": completion.message,
        "finish_reason": completion.finish_reason,
        "model_id": completion.model_id,
        "provider": completion.provider,
    }


async def _book_failure(
    opened: Runtime, order: AttemptOrder, holding: Holding, failure: UpstreamFailed
) -> None:
    """Book a failed attempt as its error says: settled, kept as unknown, or released."""
    fate = failure.hold_fate
    if fate is HoldFate.SETTLED and failure.completion is not None:
        await _settle_or_keep(
            opened,
            order,
            holding,
            failure.completion,
            Outcome.FAILED,
            str(failure),
            failure.kind,
        )
    elif fate is HoldFate.UNKNOWN:
        await _finish(
            opened.ledger.mark_unknown(
                holding.selection_id,
                holding.token,
                error=str(failure),
                error_kind=failure.kind,
                generation_id=failure.generation_id,
            )
        )
    else:
        await _finish(
            opened.ledger.release(
                holding.selection_id,
                holding.token,
                outcome=Outcome.FAILED,
                error=str(failure),
                error_kind=failure.kind,
            )
        )


async def _book_interruption(
    opened: Runtime, holding: Holding, interruption: BaseException
) -> None:
    """Keep the hold of a call that was cut from our side; /generation tells its cost later."""
    cancelled = isinstance(interruption, asyncio.CancelledError | GeneratorExit)
    await opened.ledger.mark_unknown(
        holding.selection_id,
        holding.token,
        error="cancelled by the caller" if cancelled else type(interruption).__name__,
        error_kind="cancelled" if cancelled else "interrupted",
        generation_id=None,
    )


async def _finish(booking: Awaitable[T]) -> T:
    """Wait for a booking even when this task is cancelled meanwhile; then cancel."""
    task = asyncio.ensure_future(booking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
