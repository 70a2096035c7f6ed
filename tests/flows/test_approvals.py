"""Approvals in lane `ledger`: the money is held, one answer counts, the approved plan is paid."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from deployments.lanes import resume_here, run_in_lane
from deployments.simulator import RunningSimulator
from models.attempt import AttemptState
from models.errors import InvalidRequest, NotFound
from models.request import RoutingRequest
from models.result import RoutingResult, Status
from tasks.adapters.approvals import answer_approval
from tasks.adapters.explained import explained_decision
from tasks.adapters.parking import release_decision
from tasks.adapters.replays import replay_decisions
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.approvals import open_approvals
from tasks.adapters.upkeep import sweep_once

pytestmark = pytest.mark.anyio


def asking(key: str, **fields: Any) -> RoutingRequest:
    values = {"prompt": "Name three rivers.", "model": "openai/gpt-4o-mini", **fields}
    return RoutingRequest(idempotency_key=key, approval_above_usd=Decimal("0.0000001"), **values)


async def ask(key: str, **fields: Any) -> RoutingResult:
    result = await run_in_lane(asking(key, **fields), "ledger")
    assert result.status is Status.AWAITING_APPROVAL
    return result


async def held_usd(runtime: Runtime) -> Decimal:
    states = await runtime.ledger.budgets()
    return sum((state.reserved_amount for state in states), Decimal(0))


@pytest.fixture
def settings(settings: Any) -> Any:
    """Without Prefect, whatever the environment of the test session says."""
    return settings.model_copy(update={"prefect_api_url": None})


async def test_money_is_held_while_a_person_decides(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await ask("held")
    (attempt,) = await runtime.ledger.attempts(result.decision_id)
    assert await held_usd(runtime) == result.estimated_cost_usd == attempt.estimated_cost_usd
    assert attempt.state is AttemptState.RESERVED
    assert attempt.lease_expires_at is not None
    assert attempt.lease_expires_at > datetime.now(UTC) + timedelta(hours=23)
    assert result.attempts == []
    assert "awaiting approval until" in result.reasons[-1]
    assert simulator.charges == []
    (open_one,) = await open_approvals(runtime.database)
    assert open_one["decision_id"] == result.decision_id


async def test_policy_asks_too_when_the_request_does_not(runtime: Runtime) -> None:
    await runtime.database.execute(
        "UPDATE routing_policies SET policy_config ="
        ' policy_config || \'{"approval_above_usd": "0.0000001"}\''
    )
    request = RoutingRequest(prompt="Name three rivers.", idempotency_key="by policy")
    assert (await run_in_lane(request, "ledger")).status is Status.AWAITING_APPROVAL


async def test_repeated_request_gets_the_same_question_and_no_second_hold(
    runtime: Runtime,
) -> None:
    first, again = await ask("repeated"), await ask("repeated")
    assert again.decision_id == first.decision_id
    assert await held_usd(runtime) == first.estimated_cost_usd


async def test_approved_call_is_paid_from_the_hold_that_waited(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await ask("approved")
    approval = await answer_approval(
        runtime, result.decision_id, approve=True, approver="ada", note="worth it"
    )
    assert (approval.answer, approval.approver, approval.note) == ("approved", "ada", "worth it")
    report = await release_decision(runtime, result.decision_id, run_here=resume_here)
    assert report.released == (result.decision_id,)
    answer = await run_in_lane(asking("approved"), "ledger")
    assert (answer.decision_id, answer.status) == (result.decision_id, Status.COMPLETED)
    assert "approved by ada: worth it" in answer.reasons
    (attempt,) = await runtime.ledger.attempts(result.decision_id)  # the same row, no second hold
    assert attempt.state is AttemptState.SETTLED
    assert await held_usd(runtime) == 0
    assert len(simulator.charges) == 1
    assert (await replay_decisions(runtime, result.decision_id)).differences == ()
    assert (await explained_decision(runtime, result.decision_id))["reasons"] == answer.reasons


async def test_sweep_goes_on_with_what_was_approved_elsewhere(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await ask("swept")
    await answer_approval(runtime, result.decision_id, approve=True, approver="ada")
    outcome = await sweep_once(runtime, run_here=resume_here)
    assert outcome.waiting.released == (result.decision_id,)
    assert len(simulator.charges) == 1


async def test_denied_call_is_rejected_and_its_money_is_free(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await ask("denied")
    await answer_approval(runtime, result.decision_id, approve=False, approver="ada", note="no")
    assert await held_usd(runtime) == 0
    again = await run_in_lane(asking("denied"), "ledger")
    assert again.status is Status.REJECTED
    assert again.reasons[-1] == "denied by ada: no"
    assert simulator.charges == []
    assert (await sweep_once(runtime, run_here=resume_here)).waiting.released == ()


async def test_unanswered_call_expires_rejected_and_its_money_is_free(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await ask("expired")
    await runtime.database.execute("UPDATE approvals SET expires_at = now()")
    outcome = await sweep_once(runtime, run_here=resume_here)
    assert outcome.waiting.ended == (result.decision_id,)
    assert await held_usd(runtime) == 0
    again = await run_in_lane(asking("expired"), "ledger")
    assert again.status is Status.REJECTED
    assert "nobody approved" in again.reasons[-1]
    with pytest.raises(InvalidRequest):
        await answer_approval(runtime, result.decision_id, approve=True, approver="ada")


async def test_second_answer_is_refused_when_it_differs(runtime: Runtime) -> None:
    result = await ask("two answers")
    await answer_approval(runtime, result.decision_id, approve=True, approver="ada")
    again = await answer_approval(runtime, result.decision_id, approve=True, approver="bob")
    assert again.approver == "ada"
    with pytest.raises(InvalidRequest, match="approved by ada"):
        await answer_approval(runtime, result.decision_id, approve=False, approver="bob")


async def test_answer_is_refused_when_nobody_was_asked(runtime: Runtime) -> None:
    request = RoutingRequest(prompt="Name three rivers.", idempotency_key="not asked")
    result = await run_in_lane(request, "ledger")
    with pytest.raises(NotFound):
        await answer_approval(runtime, result.decision_id, approve=True, approver="ada")


async def test_approved_call_is_sent_once_when_two_runs_go_on(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await ask("twice")
    await answer_approval(runtime, result.decision_id, approve=True, approver="ada")
    answers = await asyncio.gather(*(resume_here(result.decision_id) for _ in range(4)))
    assert {answer.status for answer in answers} == {Status.COMPLETED}
    assert len(simulator.charges) == 1
    assert await held_usd(runtime) == 0


async def test_approved_call_holds_anew_when_its_hold_has_run_out(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await ask("run out")
    await answer_approval(runtime, result.decision_id, approve=True, approver="ada")
    await runtime.database.execute("UPDATE model_selections SET lease_expires_at = now()")
    await sweep_once(runtime, run_here=resume_here)
    answer = await run_in_lane(asking("run out"), "ledger")
    assert answer.status is Status.COMPLETED
    attempts = await runtime.ledger.attempts(result.decision_id)
    assert [a.state for a in attempts] == [AttemptState.RELEASED, AttemptState.SETTLED]
    assert len(simulator.charges) == 1


async def test_balances_agree_with_their_entries_after_all_of_it(runtime: Runtime) -> None:
    for number, approve in enumerate((True, False, True)):
        result = await ask(f"audit {number}")
        await answer_approval(runtime, result.decision_id, approve=approve, approver="ada")
    await sweep_once(runtime, run_here=resume_here)
    assert (await runtime.ledger.audit()).is_clean
