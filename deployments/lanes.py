"""Run one request in a lane: as a Prefect flow run, or as plain steps."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any
from uuid import UUID, uuid4

from deployments.result_storage import shared_result_storage
from models.decision import Caller
from models.errors import PrefectFailed
from models.request import RoutingRequest, Trace
from models.result import RoutingResult
from tasks.adapters.oversized import is_oversized, store_request
from tasks.adapters.runtime import runtime
from tasks.adapters.settings import Settings
from tasks.adapters.sink import Sink, streaming_into


async def run_once(
    settings: Settings, request: RoutingRequest, trace: str, *, sink: Sink | None = None
) -> RoutingResult:
    """Open the runtime, prepare the database if it is new, run one request, close."""
    from deployments.preparation import prepared_runtime

    async with prepared_runtime(settings), flow_lane() if trace == "flow" else nullcontext():
        with streaming_into(sink):
            return await run_in_lane(request, trace)


async def run_in_lane(request: RoutingRequest, trace: str) -> RoutingResult:
    """Route inside the open runtime; `trace` is `flow` or `ledger`."""
    return await (_as_flow(request) if trace == "flow" else _as_plain(request))


async def _as_plain(request: RoutingRequest) -> RoutingResult:
    from flows.decision import route
    from tasks.steps import PLAIN_STEPS

    return await route(request, _caller(request, "ledger"), PLAIN_STEPS)


def _caller(request: RoutingRequest, trace: Trace) -> Caller:
    key = request.caller_key() or f"run:{uuid4()}"
    return Caller(key=key, trace=trace, flow_run_id=None, owner=runtime().owner)


async def resume_here(decision_id: UUID) -> RoutingResult:
    """Go on with a released decision in this process, where no flow run can (lane `ledger`)."""
    from flows.decision import route
    from tasks.steps import PLAIN_STEPS, finished_result, stored_request

    if (done := await finished_result(decision_id)) is not None:
        return done
    request, key = await stored_request(decision_id)
    caller = Caller(key=key, trace="ledger", flow_run_id=None, owner=runtime().owner)
    return await route(request, caller, PLAIN_STEPS)


async def _as_flow(request: RoutingRequest) -> RoutingResult:
    # Importing Prefect takes seconds: only this lane pays for it.
    from flows.route_request import route_request

    given: dict[str, Any] = {"request": request}
    if is_oversized(request):
        arrival = await store_request(request, _caller(request, "flow"))
        if arrival.stored is not None:
            return arrival.stored
        given = {"request_id": arrival.decision_id}
    state = await route_request(**given, return_state=True)
    result = await state.aresult(raise_on_failure=False)
    if isinstance(result, RoutingResult):
        return result
    if isinstance(result, BaseException):
        raise result
    raise PrefectFailed(f"the flow run ended without a result: {state.name}")


@contextlib.asynccontextmanager
async def flow_lane() -> AsyncIterator[None]:
    """Share one Prefect client between all runs inside; deliver their events and logs at the end.

    A client of its own costs every run some 45 ms, most of it for reading certificates twice.
    """
    from prefect.context import AsyncClientContext, SyncClientContext

    from deployments.prefect_queues import deliver_queued

    with SyncClientContext.get_or_create():
        async with AsyncClientContext.get_or_create(), shared_result_storage():
            try:
                yield
            finally:
                await deliver_queued()  # the server may be stopped before this process ends
