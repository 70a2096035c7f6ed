"""Approvals: the money is held while a person decides, and one answer counts."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

from models.attempt import Hold, Replay, Reserved
from models.decision import Arrival, Ending
from models.errors import InvalidRequest, NotFound
from models.features import request_features
from models.plan import Plan
from models.request import OnExhausted
from models.result import RoutingResult, Status
from models.waiting import Answer, Approval
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import approvals as store
from tasks.adapters.store import decisions, waiting

RUN_GRACE_S = 15 * 60.0  # an approved hold lives this long at least, so that its run can begin


async def hold_for_approval(opened: Runtime, arrival: Arrival, ending: Ending) -> Ending:
    """Hold the money of the plan's first attempt and store what the person is asked.

    The hold is short-lived until `keep_hold`: a crash in between frees it within a minute. When
    the money has gone since the plan was made, the ending is parked or rejected.
    """
    if ending.plan is None:
        raise ValueError("only a plan can be approved")
    number, token = arrival.attempts_made + 1, uuid4()
    hold = _hold(opened, arrival, ending.plan, number, token)
    answer = await opened.ledger.reserve(hold)
    if isinstance(answer, Replay):
        return ending  # a racer with the same key was first and has asked
    if not isinstance(answer, Reserved):
        return _without_hold(arrival, ending)
    asked = await store.store_question(
        opened.database,
        decision_id=arrival.decision_id,
        selection_id=answer.selection_id,
        attempt_no=number,
        token=token,
        amount_usd=hold.worst_case_usd,
        ttl_s=opened.settings.switchyard_approval_ttl_s,
    )
    lines = () if asked is None else (asked.reason(),)
    return replace(ending, reasons=(*ending.reasons, *lines))


async def keep_hold(opened: Runtime, decision_id: UUID) -> None:
    """Let the hold live as long as the question."""
    asked = await store.read_approval(opened.database, decision_id)
    if asked is not None and asked.answer is None:
        ttl_s = opened.settings.switchyard_approval_ttl_s
        await opened.ledger.extend_lease(asked.selection_id, asked.token, ttl_s)


def _hold(opened: Runtime, arrival: Arrival, plan: Plan, number: int, token: UUID) -> Hold:
    candidate, request = plan.candidates[0], arrival.request
    cap_usd = arrival.policy.max_cost_per_task
    if request.max_cost_usd is not None:
        cap_usd = min(cap_usd, request.max_cost_usd)
    return Hold(
        key=f"{arrival.decision_id}/{number}",
        request_hash=arrival.request_hash,
        decision_id=arrival.decision_id,
        attempt_no=number,
        token=token,
        owner=opened.owner,
        model_id=candidate.model_id,
        provider=candidate.provider,
        policy=arrival.policy.name,
        worst_case_usd=candidate.worst_case_usd,
        elastic_usd=candidate.elastic_usd,
        task_cap_usd=cap_usd,
        task_id=request.task_id,
        worker_id=request.worker_id,
        task_type=arrival.classification.task_type,
        complexity=arrival.classification.complexity,
        simulated=opened.settings.simulated,
    )


def _without_hold(arrival: Arrival, ending: Ending) -> Ending:
    wanted = request_features(arrival.request).on_exhausted or arrival.policy.on_exhausted
    status = Status.PARKED if wanted is OnExhausted.PARK else Status.REJECTED
    line = "the money to hold for an approval was taken meanwhile"
    return replace(ending, status=status, reasons=(*ending.reasons, line))


async def answer_approval(
    opened: Runtime,
    decision_id: UUID,
    *,
    approve: bool,
    approver: str | None = None,
    note: str | None = None,
) -> Approval:
    """Answer what a decision waits for; a denied one ends rejected, its hold released.

    Approved work is released by `release_decision` or the next sweep. Raises NotFound where nobody
    was asked, InvalidRequest where the other answer was given before or the time is over.
    """
    wanted: Answer = "approved" if approve else "denied"
    answered = await store.store_answer(
        opened.database,
        decision_id,
        wanted,
        approver=approver,
        note=note or None,
        grace_s=RUN_GRACE_S,
    )
    if answered is None:
        raise NotFound(f"decision {decision_id} does not wait for an approval")
    if answered.is_refused:
        await end_waiting(opened, decision_id, answered.reason())
    if answered.answer != wanted:
        raise InvalidRequest(f"decision {decision_id} was answered before: {answered.reason()}")
    return answered


async def expire_approval(opened: Runtime, decision_id: UUID) -> None:
    """End what nobody answered in time: the hold is released, the request rejected."""
    answered = await store.store_answer(
        opened.database, decision_id, "expired", approver=None, note=None, grace_s=0
    )
    if answered is not None and answered.is_refused:
        await end_waiting(opened, decision_id, answered.reason())


async def end_waiting(opened: Runtime, decision_id: UUID, reason: str) -> bool:
    """End waiting work as rejected; False when it was not waiting any more.

    A hold that waits for a person is released with it.
    """
    row = await decisions.read_decision(opened.database, decision_id)
    if row is None or row["result"] is None:
        return False
    asked = await store.read_approval(opened.database, decision_id)
    if asked is not None:
        await opened.ledger.release(
            asked.selection_id, asked.token, outcome="cancelled", error=reason, error_kind="ended"
        )
    before = RoutingResult.model_validate(row["result"])
    result = before.model_copy(
        update={"status": Status.REJECTED, "reasons": [*before.reasons, reason]}
    )
    return await waiting.end_decision(
        opened.database, result, keep_request=opened.settings.switchyard_store_prompts
    )
