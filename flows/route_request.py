"""The flow `route-request`: one routing decision as an inspectable Prefect flow run."""

from __future__ import annotations

from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run

from flows.decision import route
from models.decision import Caller
from models.errors import InvalidRequest
from models.request import RoutingRequest
from models.result import RoutingResult, Status
from tasks.check_budget import check_budget
from tasks.classify_request import classify_request
from tasks.execute_request import execute_request
from tasks.record_outcome import record_outcome
from tasks.select_model import select_model
from tasks.steps import Steps, process_owner, shared_runtime, stored_request

PREFECT_STEPS = Steps(
    classify_request=classify_request,
    check_budget=check_budget,
    select_model=select_model,
    execute_request=execute_request,
    record_outcome=record_outcome,
)


@flow(name="route-request", retries=0, persist_result=True, validate_parameters=True)
async def route_request(
    request: RoutingRequest | None = None, request_id: UUID | None = None
) -> State[RoutingResult]:
    """Route one request to the model that its policy and budgets allow.

    Give the request itself, or the id of a stored one (for requests above Prefect's 512 KB, and
    for parked work that is released). The result is the result document; a failed request ends
    the run Failed, a refused or waiting one ends it Completed under that name.
    """
    async with shared_runtime():
        asked = await _request(request, request_id)
        run_id = UUID(str(flow_run.id))
        caller = Caller(
            key=asked.caller_key() or f"run:{run_id}",
            trace="flow",
            flow_run_id=run_id,
            owner=process_owner(),
        )
        result = await route(asked, caller, PREFECT_STEPS)
        await label_run(run_id, result)
    return final_state(result)


async def _request(request: RoutingRequest | None, request_id: UUID | None) -> RoutingRequest:
    if request is not None and request_id is None:
        return request
    if request_id is not None and request is None:
        return await stored_request(request_id)
    raise InvalidRequest("give exactly one of request and request_id")


async def label_run(run_id: UUID, result: RoutingResult) -> None:
    """Name and tag the run by policy, model and worker, so that a list of runs can be read."""
    tags = [f"policy:{result.policy}", f"type:{result.task_type}", f"status:{result.status}"]
    if result.model is not None:
        tags.append(f"model:{result.model}")
    if result.worker_id is not None:
        tags.append(f"worker:{result.worker_id}")
    if result.simulated:
        tags.append("simulated")
    name = f"{result.policy} · {result.task_type} · {result.model or result.status}"
    async with get_client() as client:
        await client.update_flow_run(run_id, name=name, tags=[*flow_run.tags, *tags])


def final_state(result: RoutingResult) -> State[RoutingResult]:
    """Return the state that the run ends in, with the result document as its data."""
    failed = result.status is Status.FAILED
    return State(
        type=StateType.FAILED if failed else StateType.COMPLETED,
        name=result.status.value.replace("_", " ").capitalize(),
        message=f"{result.status.value}: {result.reasons[-1] if result.reasons else 'done'}",
        data=result,
    )
