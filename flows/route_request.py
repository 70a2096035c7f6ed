"""The flow `route-request`: one routing decision as an inspectable Prefect flow run."""

from __future__ import annotations

from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run

from flows.decision import route
from flows.suspension import ask_person, may_suspend, suspend_until_released
from models.decision import Caller
from models.errors import InvalidRequest
from models.request import RoutingRequest
from models.result import RoutingResult, Status
from models.waiting import WAITING
from tasks.decide import decide
from tasks.execute_request import execute_request
from tasks.find_answer import find_answer
from tasks.record_outcome import record_outcome
from tasks.run_page import label_run, unvisited
from tasks.steps import (
    Steps,
    finished_result,
    process_owner,
    shared_runtime,
    stored_request,
)

PREFECT_STEPS = Steps(
    decide=unvisited(decide),
    execute_request=unvisited(execute_request),
    record_outcome=unvisited(record_outcome),
    find_answer=unvisited(find_answer),
)


@flow(name="route-request", retries=0, persist_result=True, validate_parameters=True)
async def route_request(
    request: RoutingRequest | None = None, request_id: UUID | None = None
) -> State[RoutingResult]:
    """Route one request to the model that its policy and budgets allow.

    Give the request itself, or the id of a stored one (for requests above Prefect's 512 KB, and
    for parked work that is released). The result is the result document; a failed request ends
    the run Failed, a refused one ends it Completed under that name. One that waits for money or
    for a person suspends a run of a deployment; any other run ends Completed under that name.

    Args:
        request: What to route: choose RoutingRequest and give at least a prompt.
        request_id: Instead of a request, the id of a stored one.
    """
    async with shared_runtime():
        if request_id is not None and (done := await finished_result(request_id)) is not None:
            return final_state(done)
        asked, key = await _request(request, request_id)
        run_id = UUID(str(flow_run.id))
        caller = Caller(
            key=key or f"run:{run_id}", trace="flow", flow_run_id=run_id, owner=process_owner()
        )
        result = await _route_and_wait(asked, caller)
        await label_run(run_id, flow_run.tags, result)
    return final_state(result)


async def _request(
    request: RoutingRequest | None, request_id: UUID | None
) -> tuple[RoutingRequest, str | None]:
    if request is not None and request_id is None:
        return request, request.caller_key()
    if request_id is not None and request is None:
        return await stored_request(request_id)
    raise InvalidRequest("give exactly one of request and request_id")


async def _route_and_wait(asked: RoutingRequest, caller: Caller) -> RoutingResult:
    """Route, and suspend this run where the request waits and Prefect allows it."""
    result = await route(asked, caller, PREFECT_STEPS)
    if result.status in WAITING and may_suspend():
        await label_run(UUID(str(flow_run.id)), flow_run.tags, result)
    if result.status is Status.AWAITING_APPROVAL and may_suspend():
        await ask_person(result)
        result = await route(asked, caller, PREFECT_STEPS)
    if result.status is Status.PARKED and may_suspend():
        await suspend_until_released(result)
        result = await route(asked, caller, PREFECT_STEPS)
    return result


def final_state(result: RoutingResult) -> State[RoutingResult]:
    """Return the state that the run ends in, with the result document as its data."""
    failed = result.status is Status.FAILED
    return State(
        type=StateType.FAILED if failed else StateType.COMPLETED,
        name=result.status.value.replace("_", " ").capitalize(),
        message=f"{result.status.value}: {result.reasons[-1] if result.reasons else 'done'}",
        data=result,
    )
