"""How an attempt's end is booked: settled, released, or kept until its bill is known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from models.attempt import Bill
from models.completion import Completion, Usage
from models.decision import AttemptOrder
from models.errors import AnswerRejected, HoldFate, LostRace, UpstreamFailed
from models.pricing import cost_usd
from models.result import Outcome
from models.tokens import image_count
from tasks.adapters.alerts import after_settlement
from tasks.adapters.race import LOST, claims_victory, has_lost
from tasks.adapters.runtime import Runtime

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Holding:
    """An open hold: its row and the fence token that only this caller knows."""

    selection_id: UUID
    token: UUID


async def book_answer(
    opened: Runtime, order: AttemptOrder, holding: Holding, completion: Completion
) -> Completion:
    """Settle an answer and return it.

    Raises AnswerRejected when it fails its checks, LostRace when another model was faster.
    """
    problem = None
    if order.arrival.request.accept is not None:
        from models.answer_checks import check_answer  # jsonschema: 0.1 s that few requests need

        problem = check_answer(order.arrival.request.accept, completion.content)
    if problem is None and not claims_victory():
        late = (Outcome.CANCELLED, LOST, LostRace.kind)
        await _settle_or_keep(opened, order, holding, completion, *late)
        raise LostRace(LOST, completion=completion)
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
        await finish(
            opened.ledger.mark_unknown(
                holding.selection_id,
                holding.token,
                error=error or "the upstream stated no usage",
                error_kind=error_kind or "no_usage",
                generation_id=completion.generation_id,
            )
        )
        return
    bill = bill_of(order, completion, usage, outcome, error, error_kind)
    settlement = await finish(opened.ledger.settle(holding.selection_id, bill))
    await after_settlement(opened, settlement, holding.selection_id)


def bill_of(
    order: AttemptOrder,
    completion: Completion,
    usage: Usage,
    outcome: Outcome,
    error: str | None = None,
    error_kind: str | None = None,
) -> Bill:
    """Return the bill of an answer: the stated cost, else by the catalogue's price."""
    images = image_count(order.arrival.request.chat_messages())
    stated = usage.cost_usd is not None
    bill_usd: Decimal = (
        usage.cost_usd
        if usage.cost_usd is not None
        else cost_usd(order.candidate.price, usage, images=images)
    )
    return Bill(
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
        latency_ms=completion.latency_ms or None,  # 0: not measured
        first_token_ms=completion.first_token_ms,
        generation_id=completion.generation_id,
        response=_stored_response(order, completion),
    )


def _stored_response(order: AttemptOrder, completion: Completion) -> dict[str, Any]:
    checked = {"checked": True} if order.arrival.request.accept is not None else {}
    return checked | {
        "content": completion.content,
        "message": completion.message,
        "finish_reason": completion.finish_reason,
        "model_id": completion.model_id,
        "provider": completion.provider,
    }


async def book_failure(
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
        await finish(
            opened.ledger.mark_unknown(
                holding.selection_id,
                holding.token,
                error=str(failure),
                error_kind=failure.kind,
                generation_id=failure.generation_id,
            )
        )
    else:
        await finish(
            opened.ledger.release(
                holding.selection_id,
                holding.token,
                outcome=Outcome.FAILED,
                error=str(failure),
                error_kind=failure.kind,
            )
        )


async def book_interruption(opened: Runtime, holding: Holding, interruption: BaseException) -> None:
    """Keep the hold of a call that was cut from our side; /generation tells its cost later."""
    cancelled = isinstance(interruption, asyncio.CancelledError | GeneratorExit)
    await opened.ledger.mark_unknown(
        holding.selection_id,
        holding.token,
        error=_why(cancelled=cancelled) or type(interruption).__name__,
        error_kind="cancelled" if cancelled else "interrupted",
        generation_id=None,
    )


def _why(*, cancelled: bool) -> str | None:
    if not cancelled:
        return None
    return LOST if has_lost() else "cancelled by the caller"


async def finish(booking: Awaitable[T]) -> T:
    """Wait for a booking even when this task is cancelled meanwhile; then cancel."""
    task = asyncio.ensure_future(booking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
