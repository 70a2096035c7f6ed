"""Prefect's own engine, for a run that shares its event loop with others."""

from __future__ import annotations

from typing import Any

import httpx
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.results import ResultStore
from prefect.utilities.callables import get_call_parameters, parameters_to_args_kwargs

from deployments.worker.flow_cache import AnyFlow
from deployments.worker.run_table import Ending, Run


class WarmEngine(AsyncFlowRunEngine[Any, Any]):  # a flow's parameters and result are its own
    """The asynchronous engine, told why its task is cancelled."""

    run: Run

    async def handle_crash(self, exc: BaseException) -> None:
        """Report what the worker meant: stock Prefect takes every cancellation for a crash."""
        match self.run.ending:
            case None:
                await super().handle_crash(exc)
            case Ending.CANCELLED:
                await self.handle_cancellation(exc)
            case Ending.HANDED_BACK:
                self.logger.info("The worker stops; the run is handed back to be run again.")

    async def handle_exception(
        self, exc: Exception, msg: str | None = None, result_store: ResultStore | None = None
    ) -> State:
        """Let Prefect's own outage pass through: it is not the flow that failed.

        Stock Prefect ends the run Failed when its result could not be reported; here the run
        stays unfinished, is put back, and finds its stored result.
        """
        if self._is_of_server(exc):
            raise exc
        return await super().handle_exception(exc, msg, result_store)

    def _is_of_server(self, exc: Exception) -> bool:
        if not isinstance(exc, httpx.TransportError | httpx.HTTPStatusError):
            return False
        try:
            url = str(exc.request.url)
        except RuntimeError:  # httpx: the error came about before there was a request
            return False
        return url.startswith(str(self.client.api_url))


async def run_in_engine(run: Run, flow: AnyFlow) -> None:
    """Run the flow to its end; `run.flow_run.state` is then the last state the server knows.

    What Prefect's `run_flow` does, with two differences: the engine knows `Run`, and it gets a
    copy of the run without its deployment, for which it would start an observer thread and block
    the event loop for 0.3-0.5 s. It reads the run again before the flow's first line, so
    `prefect.runtime.deployment` is whole. What the observer did, `orders` does.
    """
    engine = WarmEngine(
        flow=flow,
        flow_run=run.flow_run.model_copy(update={"deployment_id": None}),
        parameters=_parameters(flow, run.flow_run),
    )
    engine.run = run
    try:
        async with engine.start():
            while engine.is_running():
                async with engine.run_context():
                    await engine.call_flow_fn()  # type: ignore[unused-coroutine]  # it is awaited twice
    finally:
        run.flow_run.state = _last_state(engine)


def _parameters(flow: AnyFlow, flow_run: FlowRun) -> dict[str, Any]:
    # The same as prefect.flow_engine._flow_parameters for a run that the server made.
    args, kwargs = parameters_to_args_kwargs(flow.fn, flow_run.parameters)
    return get_call_parameters(flow.fn, args, kwargs)


def _last_state(engine: WarmEngine) -> State | None:
    return None if engine.flow_run is None else engine.flow_run.state
