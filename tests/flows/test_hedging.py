"""A hedged decision in lane flow: each of its two calls is a task run of its own."""

from __future__ import annotations

import pytest

from deployments.simulator import Fault, FaultMatch, FaultRule
from models.policy import parse_policy
from tasks.adapters.sink import streaming_into
from tasks.adapters.store.policies import apply_policies, read_policy
from tests.bench import Collected
from tests.flows.test_route_request import flow_run_of, route, task_runs_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("prefect_api_url")]

FIRST, SECOND = "openai/gpt-4o", "anthropic/claude-sonnet-5.5"


@pytest.fixture
async def hedged(runtime, simulator):
    """The policy `code` hedged after 100 ms, and a first model that takes a minute."""
    policy = await read_policy(runtime.database, "code")
    changed = parse_policy(policy.stored() | {"hedge": {"after": 100}})
    await apply_policies(runtime.database, [changed], source="person", reason="hedge")
    match = FaultMatch(model=FIRST)
    simulator.add_fault(FaultRule(fault=Fault.SLOW_DRIP, match=match, seconds=60, times=1))


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_hedged_call_is_a_task_run_of_its_own_and_the_loser_ends_cancelled(
    hedged, is_streamed
):
    sink = Collected() if is_streamed else None
    with streaming_into(sink):
        result = await route()
    assert (result.status, result.model, result.hedged) == ("completed", SECOND, "second")
    assert [attempt.outcome for attempt in result.attempts] == ["cancelled", "ok"]
    assert sink is None or sink.text == result.content
    calls = [
        (run.name, run.state.name)
        for run in await task_runs_of(result, at_least=4)
        if run.name.startswith("execute_request")
    ]
    assert calls == [
        (f"execute_request 1: {FIRST}", "Cancelled"),
        (f"execute_request 2: {SECOND}", "Completed"),
    ]
    assert (await flow_run_of(result)).state.is_completed()
