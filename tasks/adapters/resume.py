"""What a crashed, repeated or concurrent run left behind, and how to go on from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from models.agreement import agrees
from models.attempt import AttemptRow, AttemptState
from models.completion import Completion, Usage
from models.decision import Answered
from models.errors import AnswerRejected, NeverSent, OutcomeUnknown, UpstreamFailed
from models.result import Outcome
from tasks.adapters.ledger import reconcile_unknown
from tasks.adapters.runtime import Runtime

POLL_S = 0.5
OPEN_STATES = (AttemptState.RESERVED, AttemptState.SENT)


@dataclass(frozen=True, slots=True)
class Finished:
    """What earlier attempts brought: a good answer, if any, and the last one's number.

    `compared` is what the first two models answered, where they were asked at once and did not
    give the same.
    """

    answer: Answered | None
    attempts_made: int
    compared: tuple[Answered, ...] = ()


async def await_other_owner(opened: Runtime, attempt: AttemptRow) -> Completion:
    """Wait until another worker's attempt has ended; return its stored answer, spend nothing.

    Its lease bounds the wait: an expired one is swept, which releases or keeps its hold. Raises
    the failure that the attempt ended with, so that the caller goes on to the next one.
    """
    current: AttemptRow | None = attempt
    while current is not None and current.state in OPEN_STATES:
        if not current.lease_live:
            await opened.ledger.sweep()
        await asyncio.sleep(POLL_S)
        current = await opened.ledger.attempt(attempt.key)
    if current is None:
        raise NeverSent("the attempt's row is gone")
    completion = stored_completion(current)
    if completion is not None and current.outcome == Outcome.OK:
        return completion
    raise _failure_of(current, completion)


async def finished_attempt(
    opened: Runtime, decision_id: UUID, *, asks_two: bool = False
) -> Finished:
    """Return what the attempts of a decision have brought.

    Waits for a living owner, sweeps a dead one, and asks the upstream about unknown attempts
    first, so that a new attempt is made only when the old ones are certain to bring nothing. With
    `asks_two` the first two attempts' answers count only where they agree.
    """
    attempts, answers = await opened.ledger.attempts(decision_id), list[Answered]()
    for attempt in attempts:
        try:
            completion = await await_other_owner(opened, attempt)
        except UpstreamFailed:
            continue
        answers.append(Answered(attempt.model_id, attempt.attempt_no, completion))
        if not asks_two:
            break
    # the last number, not how many: an attempt that got no hold or no turn has no row
    made = attempts[-1].attempt_no if attempts else 0
    found = _compared(answers, made) if asks_two else Finished(next(iter(answers), None), made)
    if found.answer is not None:
        return found
    current = await opened.ledger.attempts(decision_id)  # a sweep may have made some unknown
    if any(attempt.state is AttemptState.UNKNOWN for attempt in current):
        await reconcile_unknown(opened.ledger, opened.upstream)
    return found  # not of `current`: a racer's attempt that began meanwhile was not waited for


def _compared(answers: Sequence[Answered], made: int) -> Finished:
    """Return the answer that two models gave, or a third one's, and the two that differ."""
    pair = tuple(one for one in answers if one.attempt_no <= 2)
    if len(pair) == 2 and agrees(pair[0].completion.content, pair[1].completion.content):
        return Finished(pair[0], made)
    third = next((one for one in answers if one.attempt_no > 2), None)
    return Finished(third, made, pair)


def stored_completion(attempt: AttemptRow) -> Completion | None:
    """Return the answer that the settle transaction stored, or None."""
    if attempt.response is None:
        return None
    response = attempt.response
    return Completion(
        model_id=response["model_id"],
        provider=response["provider"],
        content=response["content"],
        message=response["message"],
        finish_reason=response["finish_reason"],
        native_finish_reason=None,
        usage=Usage(
            prompt_tokens=attempt.prompt_tokens or 0,
            completion_tokens=attempt.completion_tokens or 0,
            cost_usd=attempt.actual_cost_usd,
        ),
        generation_id=attempt.generation_id,
        latency_ms=attempt.latency_ms or 0,
    )


def _failure_of(attempt: AttemptRow, completion: Completion | None) -> UpstreamFailed:
    message = attempt.error or f"the attempt ended {attempt.state.lower()}"
    if attempt.state is AttemptState.RELEASED:
        return NeverSent(message)
    if attempt.outcome == Outcome.REJECTED_ANSWER:
        return AnswerRejected(message, completion=completion)
    return OutcomeUnknown(message, generation_id=attempt.generation_id)
