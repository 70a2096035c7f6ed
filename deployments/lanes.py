"""Run one request in a lane: as a Prefect flow run, or as plain steps."""

from __future__ import annotations

from uuid import UUID, uuid4

from models.decision import Caller
from models.errors import PrefectFailed
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.runtime import runtime
from tasks.adapters.settings import Settings
from tasks.adapters.sink import Sink, streaming_into


async def run_once(
    settings: Settings, request: RoutingRequest, trace: str, *, sink: Sink | None = None
) -> RoutingResult:
    """Open the runtime, prepare the database if it is new, run one request, close."""
    from deployments.preparation import prepared_runtime

    async with prepared_runtime(settings):
        with streaming_into(sink):
            return await run_in_lane(request, trace)


async def run_in_lane(request: RoutingRequest, trace: str) -> RoutingResult:
    """Route inside the open runtime; `trace` is `flow` or `ledger`."""
    return await (_as_flow(request) if trace == "flow" else _as_plain(request))


async def _as_plain(request: RoutingRequest) -> RoutingResult:
    from flows.decision import route
    from tasks.steps import PLAIN_STEPS

    caller = Caller(
        key=request.caller_key() or f"run:{uuid4()}",
        trace="ledger",
        flow_run_id=None,
        owner=runtime().owner,
    )
    return await route(request, caller, PLAIN_STEPS)


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

    state = await route_request(request=request, return_state=True)
    await _flush_logs()
    result = await state.aresult(raise_on_failure=False)
    if isinstance(result, RoutingResult):
        return result
    if isinstance(result, BaseException):
        raise result
    raise PrefectFailed(f"the flow run ended without a result: {state.name}")


async def _flush_logs() -> None:
    """Deliver the run's logs now: the server may be stopped before the process ends."""
    from prefect.logging.handlers import APILogHandler

    await APILogHandler.aflush()
