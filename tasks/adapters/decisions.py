"""The life of a decision: received, snapshotted, planned and finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from models.agreement import contradicted
from models.attempt import AttemptRow, AttemptState
from models.canary import with_canary
from models.classification import classify
from models.decision import Answered, Arrival, Caller, Ending
from models.errors import IdempotencyConflict, InvalidRequest, LostRace, NotFound
from models.plan import Plan, plan_from_document
from models.policy import Policy, policy_for
from models.request import RoutingRequest
from models.result import AttemptResult, Outcome, RoutingResult, Status
from models.result_of import result_of
from models.saving import first_choice
from models.selection import select
from models.snapshot import Snapshot, from_document
from models.waiting import WAITING, Approval
from tasks.adapters.approvals import hold_for_approval, keep_hold
from tasks.adapters.resume import finished_attempt
from tasks.adapters.runtime import Runtime, runtime
from tasks.adapters.snapshots import read_snapshot
from tasks.adapters.store import decisions as store
from tasks.adapters.store.approvals import read_approval
from tasks.adapters.store.canaries import read_serving
from tasks.adapters.store.set_aside import set_aside


async def receive(request: RoutingRequest, caller: Caller) -> Arrival:
    """Return the arrival of a request; one with a known key finds the decision it had before.

    A completed decision brings its stored result and costs nothing, one that a person refused or
    has not answered yet as well. Any other goes on from its attempts' rows. Raises NotFound for
    an unknown policy, IdempotencyConflict for a key that named another request; nothing is
    recorded then.
    """
    opened = runtime()
    fingerprint = request.fingerprint()
    policies = await read_serving(opened.database)
    arrival = new_arrival(request, caller, fingerprint, policies)
    for _ in range(2):
        known = caller.key and await store.find_decision(opened.database, caller.key)
        if known:
            return await _known_arrival(opened, arrival, known)
        if await store.open_decision(
            opened.database,
            arrival,
            deadline_at=arrival.deadline_at,
            simulated=opened.settings.simulated,
        ):
            return arrival
    raise IdempotencyConflict(str(caller.key))  # opened by another and gone: cannot happen twice


def new_arrival(
    request: RoutingRequest, caller: Caller, fingerprint: str, policies: Sequence[Policy]
) -> Arrival:
    """Return an arrival with an id of its own, classified, under its policy.

    Raises NotFound for an unknown policy, InvalidRequest for checks that cannot be made.
    """
    _refuse_uncheckable(request)
    classification = classify(request)
    decision_id = uuid4()
    choice = with_canary(
        policy_for(classification.task_type, policies, request.policy),
        policies,
        caller.key or str(decision_id),
    )
    arrived_at = datetime.now(UTC)
    deadline_at = None
    if request.deadline_s is not None:
        deadline_at = arrived_at + timedelta(seconds=request.deadline_s)
    return Arrival(
        decision_id=decision_id,
        request=request,
        request_hash=fingerprint,
        caller=caller,
        classification=classification,
        policy=choice.policy,
        policy_reason=choice.reason,
        arrived_at=arrived_at,
        deadline_at=deadline_at,
    )


def _refuse_uncheckable(request: RoutingRequest) -> None:
    if request.accept is not None:
        from models.answer_checks import accept_problem  # jsonschema: 0.1 s that few requests need

        if (problem := accept_problem(request.accept)) is not None:
            raise InvalidRequest(problem)


async def _known_arrival(opened: Runtime, arrival: Arrival, known: store.Known) -> Arrival:
    if known.request_hash != arrival.request_hash:
        raise IdempotencyConflict(str(arrival.caller.key))
    approval = await read_approval(opened.database, known.decision_id)
    arrival = replace(
        arrival,
        decision_id=known.decision_id,
        resumed=True,
        deadline_at=known.deadline_at,
        approval=approval if approval is not None and approval.answer == "approved" else None,
    )
    if known.result is not None and _stands(known, known.result, approval):
        return replace(arrival, stored=known.result)
    if arrival.approval is not None and await _holds_still(opened, arrival.approval):
        return replace(arrival, attempts_made=arrival.approval.attempt_no - 1)
    found = await finished_attempt(
        opened, known.decision_id, asks_two=await store.asks_two(opened.database, known.decision_id)
    )
    if found.answer is None:
        return replace(arrival, attempts_made=found.attempts_made, compared=found.compared)
    return replace(arrival, stored=await finish(arrival, _taken(found.answer, found.compared)))


def _taken(answer: Answered, compared: Sequence[Answered]) -> Ending:
    """Return the ending with a stored answer; it may contradict what two models said before."""
    return Ending(
        None,
        Status.COMPLETED,
        answer.completion,
        ("taken from the attempt's stored answer",),
        model_id=answer.model_id,
        set_aside=contradicted(compared, answer.completion),
    )


def _stands(known: store.Known, result: RoutingResult, approval: Approval | None) -> bool:
    """Say whether the stored result is the last word, for now."""
    if result.status is Status.COMPLETED:
        return True
    if approval is not None and approval.is_refused:
        return result.status is Status.REJECTED
    if result.status is Status.AWAITING_APPROVAL:
        return approval is not None and approval.answer is None
    return known.late and result.status is Status.REJECTED


async def _holds_still(opened: Runtime, approval: Approval) -> bool:
    """Say whether the hold that a person approved is still there, unused."""
    row = await opened.ledger.attempt(f"{approval.decision_id}/{approval.attempt_no}")
    return row is not None and row.state is AttemptState.RESERVED and row.lease_live


async def snapshot(arrival: Arrival) -> Snapshot:
    """Return everything the selection depends on, read now; of an approved plan, what it had."""
    if arrival.approval is not None:
        row = await _planned(runtime(), arrival.decision_id)
        return from_document(row["snapshot"])
    return await read_snapshot(runtime(), arrival)


async def select_and_record(arrival: Arrival, snapshot: Snapshot) -> Plan:
    """Return the plan, stored with its snapshot before any attempt is made.

    A plan that a person approved is followed as it was stored.
    """
    opened = runtime()
    if arrival.approval is not None:
        row = await _planned(opened, arrival.decision_id)
        stored = plan_from_document(row["plan"])
        reasons = (*stored.reasons, arrival.approval.reason())
        return replace(stored, needs_approval=False, reasons=reasons)
    plan = select(snapshot)
    await store_plan(opened, arrival, snapshot, plan)
    return plan


async def store_plan(opened: Runtime, arrival: Arrival, snapshot: Snapshot, plan: Plan) -> None:
    """Store the plan and what it was made from."""
    await store.store_plan(
        opened.database,
        arrival.decision_id,
        policy=snapshot.policy.name,
        policy_version=snapshot.policy.version,
        snapshot=snapshot.document(),
        plan=plan.document(),
        first=first_choice(snapshot, plan),
        request=request_document(arrival.request),
    )


async def _planned(opened: Runtime, decision_id: UUID) -> dict[str, Any]:
    row = await store.read_decision(opened.database, decision_id)
    if row is None or row["plan"] is None:
        raise NotFound(f"there is no planned decision {decision_id}")
    return row


async def finish(arrival: Arrival, ending: Ending) -> RoutingResult:
    """Return the result, stored; the request itself is kept only while it is needed.

    What waits for a person gets its money held first.
    """
    opened = runtime()
    if ending.status is Status.AWAITING_APPROVAL:
        ending = await hold_for_approval(opened, arrival, ending)
    await set_aside(opened.database, arrival.decision_id, ending.set_aside)
    rows = await opened.ledger.attempts(arrival.decision_id)
    result = result_of(
        arrival,
        ending,
        [attempt_result(row) for row in rows if row.state is not AttemptState.RESERVED],
        simulated=opened.settings.simulated,
        now=datetime.now(UTC),
    )
    await store.finish_decision(
        opened.database,
        result,
        keep_request=result.status in WAITING or stores_prompts(opened, arrival),
        resume_after=ending.resume_after,
        rest_s=ending.rest_s,
        reused_from=ending.reused_from,
    )
    if result.status is Status.AWAITING_APPROVAL:
        await keep_hold(opened, arrival.decision_id)
    return result


def attempt_result(row: AttemptRow) -> AttemptResult:
    """Return what a caller is told of one attempt's row."""
    unknown = row.state in (AttemptState.UNKNOWN, AttemptState.SENT, AttemptState.RESERVED)
    outcome = Outcome(row.outcome) if row.outcome in set(Outcome) else Outcome.UNKNOWN
    if row.error_kind == LostRace.kind:  # its row says whether its bill is known
        outcome = Outcome.CANCELLED
    return AttemptResult(
        model=row.model_id,
        outcome=outcome,
        error=row.error,
        estimated_cost_usd=row.estimated_cost_usd,
        cost_usd=None if unknown else row.actual_cost_usd,
        latency_ms=row.latency_ms,
    )


def stores_prompts(opened: Runtime, arrival: Arrival) -> bool:
    """Return whether the request's text stays stored after its end."""
    return arrival.policy.store_prompts or opened.settings.switchyard_store_prompts


def request_document(request: RoutingRequest) -> dict[str, Any]:
    """Return the request as it is stored, to be read back."""
    # exclude_unset, not exclude_defaults: a stated "downgrade" overrules the policy, a default not
    return request.model_dump(mode="json", exclude_none=True, exclude_unset=True)


async def stored_request(decision_id: UUID) -> tuple[RoutingRequest, str | None]:
    """Return a request stored with its decision, and the key that finds it; raises NotFound."""
    row = await store.read_decision(runtime().database, decision_id)
    if row is None or row["request"] is None:
        raise NotFound(f"there is no stored request {decision_id}")
    return RoutingRequest.model_validate(row["request"]), row["idempotency_key"]


async def finished_result(decision_id: UUID) -> RoutingResult | None:
    """Return the result of a decision that has ended meanwhile, else None."""
    row = await store.read_decision(runtime().database, decision_id)
    if row is None or row["result"] is None or row["request"] is not None:
        return None
    return RoutingResult.model_validate(row["result"])
