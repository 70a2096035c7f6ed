"""The routing decision as one sentence; the numbers are those of the seed's decision flow."""

from __future__ import annotations

import asyncio
from functools import partial

from flows.agreement import ask_two
from flows.course import Course, begun
from flows.hedging import ask
from models.attempt import Candidate
from models.decision import Arrival, AttemptOrder, Caller, Ending
from models.errors import BudgetExceeded, NoBudget, UpstreamFailed
from models.failover import Move, next_move
from models.plan import Plan
from models.request import OnExhausted, RoutingRequest
from models.result import RoutingResult, Status
from models.snapshot import Snapshot
from models.waiting import money_back_at, rest_s
from tasks.steps import Steps, sharing


async def route(request: RoutingRequest, caller: Caller, steps: Steps) -> RoutingResult:
    """Return the request's result: answered, refused, parked or failed, but always recorded."""
    chosen = await steps.decide(request, caller)  # 1 to 8
    if isinstance(chosen, RoutingResult):
        return chosen
    arrival, snapshot, plan = chosen.arrival, chosen.snapshot, chosen.plan
    async with sharing(arrival, snapshot, plan, steps.find_answer) as shared:
        ending = shared.ending or _refused_now(arrival, snapshot, plan)
        ending = ending or await make_attempts(arrival, snapshot, plan, steps)  # 9
        shared.ending, shared.result = ending, await steps.record_outcome(arrival, ending)  # 10, 11
        return shared.result


def refused(plan: Plan) -> Ending | None:
    """Return the ending of a plan that allows no attempt now, else None."""
    if plan.needs_approval:
        return Ending(plan, Status.AWAITING_APPROVAL, None, ())
    if plan.refusal is None:
        return None
    parks = plan.refusal.action == "park"
    # the plan's own reasons end with the refusal
    return Ending(
        plan,
        Status.PARKED if parks else Status.REJECTED,
        None,
        (),
        resume_after=plan.refusal.period_end if parks else None,
    )


def _refused_now(arrival: Arrival, snapshot: Snapshot, plan: Plan) -> Ending | None:
    """Return the ending of a refused plan; what an earlier run paid for is better than none."""
    if arrival.compared and plan.refusal is not None:
        return begun(arrival, snapshot, plan).ending(plan, Status.REJECTED)
    return refused(plan)


async def make_attempts(arrival: Arrival, snapshot: Snapshot, plan: Plan, steps: Steps) -> Ending:
    """Ask the plan's models until an answer is accepted; each attempt has its own hold."""
    course = begun(arrival, snapshot, plan)
    if course.asks_two and course.left_s() > 0:
        await _ask_first_two(arrival, snapshot, plan, course, steps)
    return course.confirmed_ending(plan) or await _ask_in_turn(
        arrival, snapshot, plan, course, steps
    )


async def _ask_in_turn(
    arrival: Arrival, snapshot: Snapshot, plan: Plan, course: Course, steps: Steps
) -> Ending:
    another = partial(_next_order, arrival, snapshot, plan, course)
    while course.waiting:
        if course.left_s() <= 0:
            course.reasons.append(course.end_reason)
            return course.ending(plan, Status.FAILED)
        order = another(course.waiting[0])
        try:
            completion = await ask(order, snapshot, course, steps, another)
        except (BudgetExceeded, NoBudget) as refusal:
            course.reasons.append(f"{order.candidate.model_id}: {refusal}")
            course.status = _without_money(snapshot)
            if isinstance(refusal, BudgetExceeded):
                course.resume_after = money_back_at(snapshot.budgets, refusal.blocking)
            course.waiting.popleft()
        except UpstreamFailed as failure:
            course.reasons.append(f"{course.waiting[0].model_id}: {failure}")
            status = await _after_failure(failure, snapshot, course)
            if status is not None:
                return course.ending(plan, status)
        else:
            return course.ending(plan, Status.COMPLETED, completion)
    return course.ending(plan, course.status)


async def _ask_first_two(
    arrival: Arrival, snapshot: Snapshot, plan: Plan, course: Course, steps: Steps
) -> None:
    """Ask the two cheap models of an agreement at once; what is left is the third."""
    pair = [course.waiting.popleft() for _ in range(2)]
    orders = [_next_order(arrival, snapshot, plan, course, one) for one in pair]
    course.compared = await ask_two(orders, steps)
    course.reasons += course.compared.reasons


async def _after_failure(
    failure: UpstreamFailed, snapshot: Snapshot, course: Course
) -> Status | None:
    """Make the next move of the failure table; return the status that ends the course, or None."""
    model_id = course.waiting[0].model_id
    step = next_move(failure, waited=model_id in course.waited_for, left_s=course.left_s())
    match step.move:
        case Move.WAIT:
            course.waited_for.add(model_id)
            await asyncio.sleep(step.wait_s)
        case Move.NEXT:
            course.status = Status.FAILED
            course.waiting.popleft()
        case Move.NEXT_OR_PARK:
            course.status, course.rest_s = _without_money(snapshot), rest_s(failure)
            course.waiting.popleft()
        case Move.PARK:
            course.rest_s = rest_s(failure)
            return _without_money(snapshot)
        case Move.STOP:
            return Status.FAILED
    return None


def _next_order(
    arrival: Arrival, snapshot: Snapshot, plan: Plan, course: Course, candidate: Candidate
) -> AttemptOrder:
    policy, request = snapshot.policy, arrival.request
    temperature = policy.temperature if request.temperature is None else request.temperature
    course.number += 1
    return AttemptOrder(
        arrival=arrival,
        attempt_no=course.number,
        candidate=candidate,
        policy=policy.name,
        temperature=temperature,
        task_cap_usd=snapshot.task_cap_usd,
        timeout_s=min(policy.timeout_s, course.left_s()),
        is_provisional=plan.escalates,
        limit_wait_s=policy.limit_wait_s,
        ends_at=course.ends_at,
    )


def _without_money(snapshot: Snapshot) -> Status:
    park = snapshot.on_exhausted is OnExhausted.PARK
    return Status.PARKED if park else Status.REJECTED
