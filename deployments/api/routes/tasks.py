"""Requests: routed, selected only, and their results."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from deployments.api.access import Principal
from deployments.api.documents import AcceptedDocument
from deployments.api.lanes import store_for_later
from deployments.api.state import ApiState, ReadCaller, RouteCaller, State
from deployments.lanes import resume_here
from models.request import RoutingRequest, Trace
from models.result import RoutingResult, Status
from tasks.adapters.outcomes import current_result

WAITING = (Status.PARKED, Status.AWAITING_APPROVAL)
router = APIRouter(prefix="/api/routing", tags=["requests"])
TraceHeader = Annotated[
    str | None,
    Header(
        alias="X-Switchyard-Trace",
        description="`flow`: a Prefect flow run; `ledger`: the same records without one",
        json_schema_extra={"enum": ["flow", "ledger"]},
    ),
]
Wait = Annotated[bool, Query(description="false: answer 202 at once and go on without the caller")]
ACCEPTED = {"model": AcceptedDocument, "description": "It goes on; ask for the result later"}
WAITS = {
    "description": "It waits for money or a person (the result), or goes on without the caller",
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    {"$ref": "#/components/schemas/RoutingResult"},
                    {"$ref": "#/components/schemas/AcceptedDocument"},
                ]
            }
        }
    },
}
RESULT = {
    "model": RoutingResult,
    "description": "How it ended: `status` tells refused and failed requests from answered ones",
}


@router.post(
    "/tasks",
    summary="Route a request",
    response_model=RoutingResult,
    responses={
        200: RESULT,
        202: WAITS,
        404: {"description": "There is no such policy"},
        409: {"description": "The idempotency key was used for another request"},
    },
)
async def route_task(
    request: RoutingRequest,
    state: State,
    caller: RouteCaller,
    wait: Wait = True,
    x_switchyard_trace: TraceHeader = None,
) -> Response:
    """Route the request to the model that its policy and budgets allow, and return the result."""
    request = as_worker(request, caller)
    trace = state.lanes.choose(x_switchyard_trace)
    if not wait:
        return await _accepted(state, request, trace)
    result = await state.lanes.run(request, trace)
    state.metrics.note_result(result, trace)
    return result_response(result)


async def _accepted(state: ApiState, request: RoutingRequest, trace: Trace) -> Response:
    if trace == "flow":
        decision_id, run_id = await state.lanes.hand_over(request)
    else:
        (decision_id, done), run_id = await store_for_later(request), None
        if not done:
            state.start(resume_here(decision_id))
    body = AcceptedDocument(decision_id=decision_id, flow_run_id=run_id).model_dump_json()
    return Response(body, 202, media_type="application/json")


@router.post(
    "/select",
    summary="Decide without asking a model",
    responses={404: {"description": "There is no such policy"}, 409: {"description": "Key in use"}},
)
async def select_model(request: RoutingRequest, state: State, caller: RouteCaller) -> RoutingResult:
    """Record which model would be asked, and why; nothing is held and nothing is sent."""
    return await state.lanes.select(as_worker(request, caller))


@router.get(
    "/tasks/{decision_id}",
    summary="The result of a request",
    response_model=RoutingResult,
    responses={200: RESULT, 202: WAITS, 404: {"description": "There is no such decision"}},
)
async def read_task(decision_id: UUID, state: State, caller: ReadCaller) -> Response:
    """Return the result document; while it is not there yet, 202."""
    found = await current_result(state.opened, decision_id)
    if isinstance(found, RoutingResult):
        return result_response(found)
    body = AcceptedDocument(decision_id=decision_id, flow_run_id=found["flow_run_id"])
    return Response(body.model_dump_json(), 202, media_type="application/json")


def as_worker(request: RoutingRequest, caller: Principal) -> RoutingRequest:
    """Return the request in the name of the key and its worker, whatever it says itself."""
    ours: dict[str, str | None] = {"tenant": caller.tenant}
    if caller.worker_id is not None:
        ours["worker_id"] = caller.worker_id
    return request.model_copy(update=ours)


def result_response(result: RoutingResult) -> Response:
    """Return the result document; an outcome is no HTTP error, but waiting is 202."""
    status = 202 if result.status in WAITING else 200
    return Response(result.model_dump_json(), status, media_type="application/json")
