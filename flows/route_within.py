"""Routing for flows of others: the five steps as tasks of the run that asks."""

from __future__ import annotations

from uuid import UUID, uuid4

from prefect.runtime import flow_run

from flows.decision import route
from flows.route_request import PREFECT_STEPS
from models.decision import Caller
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.steps import process_owner, shared_runtime


async def route_within(request: RoutingRequest, step: str | None = None) -> RoutingResult:
    """Route inside the calling flow run; its page shows the decision's tasks and artifact.

    `step` names this request within the run, so that the run, started again after a crash, gets
    the answer that it has paid for. A request with a key of its own needs none; without either
    every call is asked anew. Parked and awaiting requests come back as such: the run goes on.
    """
    run_id = UUID(str(flow_run.id)) if flow_run.id else None
    key = request.caller_key() or f"run:{run_id or 'none'}/{step or uuid4()}"
    async with shared_runtime():
        caller = Caller(key=key, trace="flow", flow_run_id=run_id, owner=process_owner())
        return await route(request, caller, PREFECT_STEPS)
