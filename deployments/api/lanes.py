"""Which lane a request takes, and running it there."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID, uuid4

import httpx

from deployments.api.options import ServeOptions
from deployments.api.problems import ApiProblem
from deployments.lanes import run_in_lane
from flows.decision import route
from flows.select_request import select_only
from models.decision import Caller
from models.errors import InvalidRequest, PrefectFailed
from models.request import RoutingRequest, Trace
from models.result import RoutingResult
from tasks.adapters.oversized import store_request
from tasks.adapters.prefect_api import open_prefect_api
from tasks.adapters.runtime import runtime
from tasks.adapters.sink import Sink, streaming_into
from tasks.gathered_steps import FreshReads, gathered_steps
from tasks.steps import PLAIN_STEPS

NO_FLOW = "this server runs without Prefect: only trace 'ledger' is possible"
HEALTH_TIMEOUT_S = 3.0
PREFECT_AGAIN_S = 2.0
UseClients = Callable[[], None]


class Lanes:
    """The lanes of this process; Prefect is loaded beside the first requests, not before them."""

    def __init__(self, options: ServeOptions, *, prefect_known: bool) -> None:
        self._options = options
        self._flow_possible = prefect_known
        self._use_clients: asyncio.Future[UseClients] | None = None
        self.reads = FreshReads()

    @property
    def flow_possible(self) -> bool:
        """Whether a request may run as a Prefect flow run here."""
        return self._flow_possible

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Load Prefect in the background, and keep its clients open."""
        if not self._flow_possible:
            yield
            return
        closing = asyncio.Event()
        self._use_clients = asyncio.get_running_loop().create_future()
        holder = asyncio.create_task(self._keep_clients(self._use_clients, closing))
        try:
            yield
        finally:
            closing.set()
            await asyncio.gather(holder, return_exceptions=True)

    async def _keep_clients(
        self, use_clients: asyncio.Future[UseClients], closing: asyncio.Event
    ) -> None:
        """Try until Prefect can be used: its server may start later than this process."""
        await self._hold_clients(use_clients, closing)
        while not closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(closing.wait(), PREFECT_AGAIN_S)
                return
            self._use_clients = asyncio.get_running_loop().create_future()
            await self._hold_clients(self._use_clients, closing)

    async def _hold_clients(
        self, use_clients: asyncio.Future[UseClients], closing: asyncio.Event
    ) -> None:
        try:
            # Importing Prefect takes seconds: a thread does it while requests are served.
            warm_clients = await asyncio.to_thread(_import_clients)
            async with warm_clients() as use:
                use_clients.set_result(use)
                gc.freeze()  # Prefect as well stays as long as the process
                await closing.wait()
        except (httpx.HTTPError, RuntimeError, OSError) as error:
            if not use_clients.done():
                use_clients.set_exception(PrefectFailed(f"Prefect cannot be used: {error}"))
                use_clients.exception()  # retrieved: asked for or not, it is told by /readyz
            else:
                raise

    def choose(self, asked: str | None) -> Trace:
        """Return the lane: the one asked for, else by the sampling rate."""
        if asked is None:
            sampled = random.random() < self._options.trace_sample
            wanted = self._options.lane == "flow" and sampled and self._flow_possible
            return "flow" if wanted else "ledger"
        if asked not in ("flow", "ledger"):
            raise InvalidRequest(f"trace is 'flow' or 'ledger', not {asked[:50]!r}")
        if asked == "flow" and not self._flow_possible:
            raise ApiProblem(409, NO_FLOW)
        return "flow" if asked == "flow" else "ledger"

    async def run(
        self, request: RoutingRequest, trace: Trace, *, sink: Sink | None = None
    ) -> RoutingResult:
        """Route the request in its lane and return the result."""
        return await runtime().spans.decision(trace, self._run(request, trace, sink))

    async def _run(self, request: RoutingRequest, trace: Trace, sink: Sink | None) -> RoutingResult:
        with streaming_into(sink):
            if trace == "ledger":
                return await self._plain(request)
            await self.prefect_ready()
            try:
                return await run_in_lane(request, "flow")
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                raise PrefectFailed(f"Prefect's API failed: {type(error).__name__}") from error

    async def _plain(self, request: RoutingRequest) -> RoutingResult:
        """Gather the writes of a request that no second arrival can ask for by its key."""
        if request.caller_key() is not None:
            return await run_in_lane(request, "ledger")
        return await route(request, _caller(f"run:{uuid4()}"), gathered_steps(self.reads))

    async def prefect_ready(self) -> None:
        """Wait until Prefect is loaded and let this task use its clients; raises PrefectFailed."""
        if self._use_clients is not None:
            (await asyncio.shield(self._use_clients))()

    async def prefect_health(self) -> str:
        """Return "ok" where Prefect's API answers; raises PrefectFailed."""
        try:
            async with httpx.AsyncClient(timeout=HEALTH_TIMEOUT_S, trust_env=False) as client:
                answer = await client.get(f"{runtime().settings.prefect_api_url}/health")
        except httpx.HTTPError as error:
            raise PrefectFailed(f"Prefect does not answer: {type(error).__name__}") from error
        return "ok" if answer.is_success else f"Prefect answers {answer.status_code}"

    async def select(self, request: RoutingRequest) -> RoutingResult:
        """Decide and record without asking a model; needs no flow run."""
        # A key of its own: a real request under the caller's key must still be routed.
        key = request.caller_key() or str(uuid4())
        return await select_only(request, _caller(f"select:{key}"), PLAIN_STEPS)

    async def hand_over(self, request: RoutingRequest) -> tuple[UUID, UUID | None]:
        """Store the request and let a worker's flow run go on; return decision and run.

        A key that names a finished decision starts nothing. Raises PrefectFailed.
        """
        key = request.caller_key() or f"task:{uuid4()}"
        arrival = await store_request(request, _caller(key))
        if arrival.stored is not None:
            return arrival.decision_id, arrival.stored.flow_run_id
        async with open_prefect_api(runtime().settings) as prefect:
            if prefect is None:
                raise PrefectFailed(NO_FLOW)
            return arrival.decision_id, await prefect.trigger(
                arrival.decision_id, key=f"switchyard:{arrival.decision_id}"
            )


async def store_for_later(request: RoutingRequest) -> tuple[UUID, bool]:
    """Store a request that goes on in this process; return its decision and whether it is done."""
    key = request.caller_key() or f"task:{uuid4()}"
    arrival = await store_request(request, _caller(key))
    return arrival.decision_id, arrival.stored is not None


def _caller(key: str) -> Caller:
    return Caller(key=key, trace="ledger", flow_run_id=None, owner=runtime().owner)


def _import_clients() -> Callable[[], AbstractAsyncContextManager[UseClients]]:
    from deployments.api.prefect_clients import warm_clients

    return warm_clients
