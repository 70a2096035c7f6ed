"""Parked work in lane `ledger`: who is released, in which order, when, and that it pays once."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from deployments.lanes import resume_here, run_in_lane
from deployments.simulator import Fault, FaultRule, RunningSimulator
from models.attempt import Hold, Reserved
from models.budget import BudgetDefinition
from models.request import OnExhausted, RoutingRequest
from models.result import RoutingResult, Status
from tasks.adapters.explained import explained_decision
from tasks.adapters.parking import release_due
from tasks.adapters.replays import replay_decisions
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.decisions import read_decision
from tasks.adapters.store.waiting import claim_waiting
from tasks.adapters.upkeep import sweep_once, sweeping

pytestmark = pytest.mark.anyio
MODEL = "openai/gpt-4o-mini"
HELD_ELSEWHERE_USD = Decimal("0.0001")
WORST_USD = Decimal("0.0001251")  # of what is asked here


def asking(key: str, **fields: Any) -> RoutingRequest:
    values = {"prompt": "Name three rivers.", "model": MODEL, "max_tokens": 200, **fields}
    return RoutingRequest(idempotency_key=key, on_exhausted=OnExhausted.PARK, **values)


async def allow(runtime: Runtime, amount: str) -> None:
    await runtime.ledger.set_budget(
        BudgetDefinition(budget_type="global", budget_period="daily", budget_amount=Decimal(amount))
    )


async def hold_elsewhere(runtime: Runtime) -> None:
    """Somebody else's hold, so that a limit of $0.0002 has no room for another."""
    decision_id = uuid4()
    answer = await runtime.ledger.reserve(
        Hold(
            key=f"{decision_id}/1",
            request_hash="hash",
            decision_id=decision_id,
            attempt_no=1,
            token=uuid4(),
            owner="elsewhere",
            model_id=MODEL,
            provider="openai",
            policy="normal",
            worst_case_usd=HELD_ELSEWHERE_USD,
            elastic_usd=HELD_ELSEWHERE_USD,
            task_cap_usd=None,
            simulated=True,
            lease_s=3600,
        )
    )
    assert isinstance(answer, Reserved)


async def park(runtime: Runtime, key: str, **fields: Any) -> RoutingResult:
    if await held_usd(runtime) == 0:
        await hold_elsewhere(runtime)
    await allow(runtime, "0.0002")
    result = await run_in_lane(asking(key, **fields), "ledger")
    assert result.status is Status.PARKED
    return result


async def status_of(runtime: Runtime, result: RoutingResult) -> str:
    row = await read_decision(runtime.database, result.decision_id)
    assert row is not None
    return row["status"]


async def held_usd(runtime: Runtime) -> Decimal:
    states = await runtime.ledger.budgets()
    return sum((state.reserved_amount for state in states), Decimal(0))


@pytest.fixture
def settings(settings: Any) -> Any:
    """Without Prefect, whatever the environment of the test session says."""
    return settings.model_copy(update={"prefect_api_url": None})


async def test_parked_request_says_when_money_is_back_and_holds_none(runtime: Runtime) -> None:
    result = await park(runtime, "parked")
    row = await read_decision(runtime.database, result.decision_id)
    (budget,) = [b for b in await runtime.ledger.budgets() if b.budget_type == "global"]
    assert row is not None
    assert (row["status"], row["resume_after"]) == ("parked", budget.period_end)
    assert row["request"]["prompt"] == "Name three rivers."
    assert await held_usd(runtime) == HELD_ELSEWHERE_USD


async def test_parked_request_stays_while_there_is_no_money(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await park(runtime, "stays")
    outcome = await sweep_once(runtime, run_here=resume_here)
    assert outcome.waiting.left == (result.decision_id,)
    assert simulator.charges == []


async def test_parked_request_goes_on_as_the_same_decision_when_money_is_there(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await park(runtime, "goes on")
    await allow(runtime, "5")
    outcome = await sweep_once(runtime, run_here=resume_here)
    assert outcome.waiting.released == (result.decision_id,)
    answer = await run_in_lane(asking("goes on"), "ledger")
    assert (answer.decision_id, answer.status) == (result.decision_id, Status.COMPLETED)
    assert len(simulator.charges) == 1
    row = await read_decision(runtime.database, result.decision_id)
    assert row is not None and len(row["earlier_plans"]) == 1  # the plan that was refused
    assert (await explained_decision(runtime, result.decision_id))["status"] == "completed"
    report = await replay_decisions(runtime, result.decision_id)
    assert (report.replayed, report.identical) == (2, 2)


async def test_sweep_releases_by_priority_then_deadline_then_age(runtime: Runtime) -> None:
    order: list[UUID] = []

    async def note(decision_id: UUID) -> None:
        order.append(decision_id)

    old = await park(runtime, "old")
    young = await park(runtime, "young")
    late = await park(runtime, "late", deadline_s=7200)
    soon = await park(runtime, "soon", deadline_s=3600)
    urgent = await park(runtime, "urgent", priority=5)
    await allow(runtime, "5")
    await release_due(runtime, run_here=note)
    wanted = [urgent, soon, late, old, young]
    assert order == [result.decision_id for result in wanted]


async def test_sweep_releases_no_more_than_the_money_takes(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    first = await park(runtime, "first", priority=1)
    others = [await park(runtime, f"other {n}") for n in range(3)]
    await allow(runtime, str(HELD_ELSEWHERE_USD + WORST_USD))
    outcome = await sweep_once(runtime, run_here=resume_here)
    assert outcome.waiting.released == (first.decision_id,)
    assert set(outcome.waiting.left) == {other.decision_id for other in others}
    assert len(simulator.charges) == 1


async def test_two_sweepers_release_each_request_once(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    parked = [await park(runtime, f"twice {n}") for n in range(6)]
    await allow(runtime, "5")
    reports = await asyncio.gather(*(release_due(runtime, run_here=resume_here) for _ in range(3)))
    released = [decision_id for report in reports for decision_id in report.released]
    assert sorted(released) == sorted(result.decision_id for result in parked)
    assert len(simulator.charges) == 6


async def test_claimed_row_is_left_alone_until_its_lease_ends(runtime: Runtime) -> None:
    result = await park(runtime, "claimed")
    await allow(runtime, "5")
    (claimed,) = await claim_waiting(runtime.database, owner="another", limit=10)
    assert claimed.decision_id == result.decision_id
    assert await claim_waiting(runtime.database, owner="me", limit=10) == []
    await runtime.database.execute("UPDATE routing_decisions SET claimed_until = now()")
    assert len(await claim_waiting(runtime.database, owner="me", limit=10)) == 1


async def test_parked_request_ends_rejected_when_its_deadline_passes(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    result = await park(runtime, "too late", deadline_s=3600)
    await runtime.database.execute("UPDATE routing_decisions SET deadline_at = now()")
    await allow(runtime, "5")
    outcome = await sweep_once(runtime, run_here=resume_here)
    assert outcome.waiting.ended == (result.decision_id,)
    again = await run_in_lane(asking("too late", deadline_s=3600), "ledger")
    assert again.status is Status.REJECTED
    assert "deadline" in again.reasons[-1]
    assert simulator.charges == []


async def test_request_that_never_fits_is_rejected_not_parked(runtime: Runtime) -> None:
    await allow(runtime, "5")
    result = await run_in_lane(asking("never", max_cost_usd=Decimal("0.0000001")), "ledger")
    assert result.status is Status.REJECTED


async def test_account_out_of_money_parks_and_rests_before_it_is_tried_again(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    simulator.add_fault(FaultRule(fault=Fault.OUT_OF_CREDITS))
    result = await run_in_lane(asking("no credits"), "ledger")
    row = await read_decision(runtime.database, result.decision_id)
    assert row is not None and (result.status, row["status"]) == (Status.PARKED, "parked")
    assert await held_usd(runtime) == 0
    assert (await sweep_once(runtime, run_here=resume_here)).waiting.released == ()
    simulator.clear_faults()
    await runtime.database.execute("UPDATE routing_decisions SET not_before = now()")
    await sweep_once(runtime, run_here=resume_here)
    assert await status_of(runtime, result) == "completed"


async def test_request_parked_again_rests_longer_each_time(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    simulator.add_fault(FaultRule(fault=Fault.IN_FLIGHT))
    result = await run_in_lane(asking("in flight"), "ledger")
    rests = []
    for _ in range(3):
        row = await read_decision(runtime.database, result.decision_id)
        assert row is not None
        rests.append((row["not_before"] - row["finished_at"]).total_seconds())
        await runtime.database.execute("UPDATE routing_decisions SET not_before = now()")
        await release_due(runtime, run_here=resume_here)
    assert 0 < rests[0] <= rests[1] <= rests[2]


async def test_parked_request_waits_for_a_process_that_can_go_on(runtime: Runtime) -> None:
    result = await park(runtime, "nobody here")
    await allow(runtime, "5")
    assert (await sweep_once(runtime)).waiting.left == (result.decision_id,)
    await sweep_once(runtime, run_here=resume_here)
    assert await status_of(runtime, result) == "completed"


async def test_sweeping_goes_on_by_itself(runtime: Runtime) -> None:
    result = await park(runtime, "loop")
    loop = asyncio.create_task(sweeping(runtime, 0.02, run_here=resume_here))
    await allow(runtime, "5")
    for _ in range(500):
        if await status_of(runtime, result) == "completed":
            break
        await asyncio.sleep(0.02)
    loop.cancel()
    assert await status_of(runtime, result) == "completed"
