"""A flow of somebody else's that takes the five steps of a decision by itself."""

from __future__ import annotations

import pytest
from prefect import flow
from prefect.runtime import flow_run

from deployments.lanes import flow_lane
from flows.decision import make_attempts
from models.decision import Caller
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.check_budget import check_budget
from tasks.classify_request import classify_request
from tasks.execute_request import execute_request
from tasks.record_outcome import record_outcome
from tasks.select_model import select_model
from tasks.steps import Steps, deciding
from tests.bench import Bench

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("prefect_api_url")]
STEPS = Steps(
    decide=deciding(classify_request, check_budget, select_model),
    execute_request=execute_request,
    record_outcome=record_outcome,
)


@flow(persist_result=False)
async def triage(prompt: str) -> RoutingResult:
    caller = Caller(key=f"triage:{flow_run.id}", trace="flow", flow_run_id=None, owner="triage")
    request = RoutingRequest(prompt=prompt, task_type="fix_bug", worker_id="w1")
    arrival = await classify_request(request, caller)
    snapshot = await check_budget(arrival)
    plan = await select_model(arrival, snapshot)
    return await record_outcome(arrival, await make_attempts(arrival, snapshot, plan, STEPS))


async def test_steps_can_be_taken_task_by_task_in_any_flow(bench: Bench):
    async with flow_lane():
        result = await triage("Find the bug.")
    assert (result.status, bench.asked) == ("completed", 1)
    assert await bench.balance() == (bench.true_spend, 0)
