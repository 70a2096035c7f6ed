"""Hedging: when the first model is slow, the next one of the plan is asked as well."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flows.course import Course
from models.attempt import Candidate
from models.completion import Completion
from models.decision import AttemptOrder
from models.errors import Refused
from models.hedging import HedgeAfter, NoHedge, hedge_of
from models.snapshot import Snapshot
from tasks.steps import Contestant, Race, Steps

Another = Callable[[Candidate], AttemptOrder]


async def ask(
    order: AttemptOrder, snapshot: Snapshot, course: Course, steps: Steps, another: Another
) -> Completion:
    """Return the order's answer, or that of the next model where the policy hedges a slow one.

    The model whose answer this is, or whose failure is raised, is then the first of the course's
    waiting ones; one that failed before it is gone from them.
    """
    hedge = hedge_of(snapshot, tuple(course.waiting)) if _may_hedge(order, steps) else None
    match hedge:
        case HedgeAfter():
            return await _ask_both(order, hedge, course, steps, another)
        case NoHedge():
            course.reasons.append(hedge.reason)
    return await steps.execute_request(order)


def _may_hedge(order: AttemptOrder, steps: Steps) -> bool:
    """Say whether a second call may go; an approved plan was approved for one, a chain is one."""
    return steps.may_hedge and not order.is_provisional and order.arrival.approval is None


async def _ask_both(
    order: AttemptOrder, hedge: HedgeAfter, course: Course, steps: Steps, another: Another
) -> Completion:
    async with Race() as race:
        first = race.enter(partial(steps.execute_request, order))
        if await first.settles_within(hedge.after_ms / 1000):
            return await first.task
        names = course.waiting[0].model_id, course.waiting[1].model_id
        course.reasons.append(f"{names[0]} has not answered after {hedge.why}: {names[1]} joins")
        second = race.enter(partial(steps.execute_request, another(course.waiting[1])))
        winner = await race.end()
        _draw_conclusions(first, second, winner, course)
        return await (first if winner is first or _has_no_hold(second) else second).task


def _has_no_hold(contestant: Contestant) -> bool:
    return contestant.task.done() and isinstance(contestant.failure, Refused)


def _draw_conclusions(
    first: Contestant, second: Contestant, winner: Contestant | None, course: Course
) -> None:
    """Say how the race ended; leave the model that counts in front of the others."""
    names = course.waiting[0].model_id, course.waiting[1].model_id
    if _has_no_hold(second):
        course.reasons.append(f"no hedge by {names[1]}: {second.failure}")
        return
    if winner is first:
        course.hedged = "first"
        course.reasons.append(_ended(names[0], names[1], second))
        return
    course.waiting.popleft()
    course.hedged = "second" if winner is second else "neither"
    if winner is second:
        course.reasons.append(_ended(names[1], names[0], first))
    else:
        course.reasons.append(f"{names[0]}: {first.failure}")


def _ended(winner: str, loser: str, lost: Contestant) -> str:
    if lost.failure is None:
        return f"{winner} answered first: {loser} is cancelled"
    return f"{loser}: {lost.failure}"
