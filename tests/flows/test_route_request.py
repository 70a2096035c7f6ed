"""`route-request` as real flow runs on a real Prefect server, over real HTTP and PostgreSQL."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from markdown_it import MarkdownIt

from deployments.lanes import flow_lane, run_in_lane
from deployments.simulator import Fault, FaultMatch, FaultRule
from models.errors import IdempotencyConflict, InvalidRequest
from models.policy import parse_policy
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.sink import streaming_into
from tasks.adapters.store.policies import apply_policies, read_policy

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("prefect_api_url", "runtime")]

TASK_RUNS_S = 60.0
PROMPT = "The importer drops the last row of every file; fix the off-by-one."
HOSTILE = "<img src=x onerror=alert(1)> [a](http://evil.test) ![b](http://evil.test/b) |c|\n# d"


async def route(**fields: Any) -> RoutingResult:
    document = {"prompt": PROMPT, "task_type": "fix_bug", "worker_id": "w1"} | fields
    if "messages" in fields:
        del document["prompt"]
    async with flow_lane():
        return await run_in_lane(RoutingRequest.model_validate(document), "flow")


async def flow_run_of(result: RoutingResult) -> Any:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        return await client.read_flow_run(result.flow_run_id)


async def task_runs_of(result: RoutingResult, at_least: int = 0) -> list[Any]:
    """Task runs reach the server as events, a moment after the run."""
    import asyncio

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[result.flow_run_id]))
    async with get_client() as client:
        end = asyncio.get_running_loop().time() + TASK_RUNS_S
        while True:
            runs = await client.read_task_runs(flow_run_filter=wanted)
            if len(runs) >= at_least and all(run.state and run.state.is_final() for run in runs):
                break
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"{len(runs)} task runs, not {at_least}, or one never ended")
            await asyncio.sleep(0.1)
    return sorted(runs, key=lambda run: run.expected_start_time)


async def artifact_of(result: RoutingResult) -> str:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterKey,
    )

    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[result.flow_run_id]),
        key=ArtifactFilterKey(any_=["decision"]),
    )
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(artifact_filter=wanted)
    return str(artifact.data)


def fail(simulator, fault: str, *, stream: bool | None = None, **rule: Any) -> None:
    match = FaultMatch(model="openai/gpt-4o", stream=stream)
    simulator.add_fault(FaultRule(fault=Fault(fault), match=match, times=1, **rule))


async def test_happy_path_is_one_flow_run_of_three_task_runs():
    result = await route()
    runs = await task_runs_of(result, at_least=3)
    assert result.status == "completed"
    assert [run.name.split("-")[0] for run in runs] == [
        "decide: classify, check budget, select",
        "execute_request 1: openai/gpt",
        "record_outcome",
    ]


async def test_run_is_named_and_tagged_by_policy_model_and_worker():
    result = await route()
    run = await flow_run_of(result)
    assert run.name == "code · fix_bug · openai/gpt-4o"
    assert set(run.tags) >= {
        "policy:code",
        "model:openai/gpt-4o",
        "worker:w1",
        "type:fix_bug",
        "status:completed",
        "simulated",
    }


async def test_downgrade_after_a_failure_is_visible_as_a_failed_task_run_then_the_next(simulator):
    fail(simulator, "unavailable")
    result = await route()
    attempts = [
        (run.name, run.state.name)
        for run in await task_runs_of(result, at_least=4)
        if run.name.startswith("execute_request")
    ]
    assert attempts == [
        ("execute_request 1: openai/gpt-4o", "Failed"),
        ("execute_request 2: anthropic/claude-sonnet-5.5", "Completed"),
    ]
    assert result.status == "completed"
    assert (await flow_run_of(result)).state.is_completed()


async def test_artifact_explains_the_decision_and_shows_hostile_text_as_text(simulator):
    fail(simulator, "unavailable", message=HOSTILE)
    worker = "<b>w</b>|[w](javascript:alert(1))"
    text = await artifact_of(await route(worker_id=worker))
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    for part in ("Policy", "Models considered", "Attempts", "worst case", "alert(1)", "evil.test"):
        assert part in html, "it is shown"
    tags = set(re.findall(r"<([a-z0-9]+)", html))
    assert tags <= {"h1", "h2", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    cells = [row.count("<t") - 1 for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)]
    assert set(cells) == {2, 3, 6}, "no cell was broken by a pipe or a line end"


@pytest.mark.parametrize(
    ("fields", "fault", "name", "is_failed"),
    [
        ({}, None, "Completed", False),
        ({"max_cost_usd": "0.0000001"}, None, "Rejected", False),
        ({"max_cost_usd": "0.0000001", "on_exhausted": "park"}, "out_of_credits", "Parked", False),
        ({}, "bad_request", "Failed", True),
    ],
)
async def test_final_state_says_how_the_request_ended(simulator, fields, fault, name, is_failed):
    if fault == "out_of_credits":
        fields = {"on_exhausted": "park"}
    if fault is not None:
        fail(simulator, fault)
    result = await route(**fields)
    run = await flow_run_of(result)
    assert (run.state.name, run.state.is_failed()) == (name, is_failed)
    assert run.state.name.lower() == result.status


async def test_persisted_result_of_the_run_is_the_result_document():
    result = await route()
    run = await flow_run_of(result)
    assert await run.state.aresult(raise_on_failure=False) == result


async def test_request_above_prefects_limit_is_stored_and_routed_by_its_id(simulator):
    image = "data:image/png;base64," + "A" * 600_000
    content = [
        {"type": "text", "text": "What is in this picture?"},
        {"type": "image_url", "image_url": {"url": image}},
    ]
    fields = {"messages": [{"role": "user", "content": content}], "idempotency_key": "picture"}
    result = await route(**fields)
    run = await flow_run_of(result)
    assert result.status == "completed"
    assert run.parameters == {"request": None, "request_id": str(result.decision_id)}
    assert await route(**fields) == result
    assert len(simulator.charges) == 1


async def test_prefect_refuses_such_a_request_as_a_parameter():
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.route_request import route_request

    large = RoutingRequest(prompt="x" * 600_000).model_dump(mode="json", exclude_none=True)
    async with get_client() as client:
        with pytest.raises(PrefectHTTPStatusError, match="422"):
            await client.create_flow_run(route_request, parameters={"request": large})


async def test_same_key_again_returns_the_result_and_pays_nothing(simulator):
    first = await route(idempotency_key="k")
    again = await route(idempotency_key="k")
    assert again == first
    assert len(simulator.charges) == 1


async def test_same_key_with_another_request_is_an_error(simulator):
    await route(idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        await route(idempotency_key="k", prompt="Something else")
    assert len(simulator.charges) == 1


async def test_run_that_is_repeated_after_a_crash_pays_nothing_again(simulator):
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow_async
    from prefect.states import Pending

    from flows.route_request import route_request

    given = {"request": RoutingRequest(prompt=PROMPT, task_type="fix_bug"), "request_id": None}
    document = {"request": given["request"].model_dump(mode="json", exclude_none=True)}
    async with get_client() as client, flow_lane():
        created = await client.create_flow_run(route_request, parameters=document)
        states = []
        for _ in range(2):
            await client.set_flow_run_state(created.id, Pending(), force=True)
            run = await client.read_flow_run(created.id)
            states.append(
                await run_flow_async(
                    route_request, flow_run=run, parameters=given, return_type="state"
                )
            )
    first, again = [await state.aresult(raise_on_failure=False) for state in states]
    assert first.decision_id == again.decision_id
    assert first.content == again.content
    assert len(simulator.charges) == 1


async def test_run_needs_exactly_one_of_request_and_id():
    from flows.route_request import route_request

    for given in ({}, {"request": RoutingRequest(prompt="x"), "request_id": uuid.uuid4()}):
        async with flow_lane():
            state = await route_request(**given, return_state=True)
            assert isinstance(await state.aresult(raise_on_failure=False), InvalidRequest)


class Collected:
    def __init__(self) -> None:
        self.models: list[str] = []
        self.text = ""

    @property
    def started(self) -> bool:
        return bool(self.text)

    async def chosen(self, decision_id: uuid.UUID, policy: str, model_id: str) -> None:
        self.models.append(model_id)

    async def piece(self, delta: Any) -> None:
        self.text += delta.content


async def test_stream_reaches_the_sink_and_falls_back_before_its_first_token(simulator):
    fail(simulator, "unavailable")
    sink = Collected()
    with streaming_into(sink):
        result = await route()
    assert sink.models == ["openai/gpt-4o", "anthropic/claude-sonnet-5.5"]
    assert sink.text == result.content


async def test_stream_that_breaks_after_its_first_token_fails_the_run(simulator):
    fail(simulator, "cut", stream=True, at=0.6)
    sink = Collected()
    with streaming_into(sink):
        result = await route()
    assert result.status == "failed"
    assert sink.models == ["openai/gpt-4o"]
    assert sink.text


async def test_paid_answer_survives_when_prefect_cannot_show_it(mocker):
    from prefect.exceptions import PrefectException

    mocker.patch("tasks.run_page.get_client", side_effect=PrefectException("away"))
    mocker.patch("tasks.run_page.acreate_markdown_artifact", side_effect=PrefectException("away"))
    assert (await route()).status == "completed"


async def test_hit_of_the_cache_is_a_run_that_asks_nobody(runtime, simulator):
    policy = await read_policy(runtime.database, "code")
    cached = parse_policy(policy.stored() | {"cache": {"ttl_s": 600}})
    await apply_policies(runtime.database, [cached], source="person", reason="a cache")
    asked, hit = [await route() for _ in range(2)]
    assert len(await task_runs_of(asked, at_least=4)) == 4
    names = [run.name.partition("-")[0] for run in await task_runs_of(hit, at_least=3)]
    assert sorted(names) == [
        "decide: classify, check budget, select",
        "find_answer",
        "record_outcome",
    ]
    assert (hit.cached, hit.cost_usd, hit.content) == (True, 0, asked.content)
    assert len(simulator.charges) == 1
    assert f"cache of decision {asked.decision_id}" in re.sub(r"\\", "", await artifact_of(hit))
