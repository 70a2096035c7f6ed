"""The worker type `switchyard`, registered with Prefect through the group prefect.collections.

The Prefect server loads this module too, so it imports little: what runs flows is imported when
a worker starts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.context import AsyncClientContext, SyncClientContext
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_WORKER_QUERY_SECONDS,
    temporary_settings,
)
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from deployments.worker.identity import this_process

if TYPE_CHECKING:
    from deployments.worker.service import Service
    from deployments.worker.station import Station
    from deployments.worker.stop import Stop

DEFAULT_LIMIT = 32
DRAIN_S = 30.0
TEARDOWN_S = 5.0
DEADLINE_MARGIN_S = 25.0  # for handing back, flushing and closing after the drain
HEARTBEAT_MAX_S = 10


class SwitchyardWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Runs flow runs inside its own process, on one event loop, with warm imports."""

    type = "switchyard"
    job_configuration = BaseJobConfiguration
    resumable_packages: ClassVar[tuple[str, ...]] = ("flows",)

    _description = (
        "Runs flows inside the worker's own process: no start-up per run. The flows must be"
        " asynchronous, deployed by module path and installed where the worker runs; job"
        " variables are ignored."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # as BaseWorker's, whatever it takes
        super().__init__(*args, **kwargs)
        # A name of its own for each process: a run's claim names it, and the heartbeat under
        # that name, or the process it names, tells whether the run is still carried.
        self.identity = this_process()
        self.name = f"{self._given_name(kwargs)} {self.identity}"
        self.heartbeat_interval_seconds = min(self.heartbeat_interval_seconds, HEARTBEAT_MAX_S)
        self._limit = DEFAULT_LIMIT if self._limit is None else self._limit
        self.drain_s = DRAIN_S
        self._service: Service | None = None

    @staticmethod
    def _given_name(arguments: dict[str, Any]) -> str:
        return arguments.get("name") or "switchyard"

    async def start(
        self,
        run_once: bool = False,
        with_healthcheck: bool = False,
        printer: Callable[..., None] = print,
    ) -> None:
        """Run until SIGTERM, SIGINT or cancellation; see `stop` for the threads."""
        from deployments.worker.server import wait_for_server
        from deployments.worker.stop import LoopThread

        async def main(stop: Stop) -> None:
            if not await wait_for_server(self._logger, stop):
                return
            async with self._at_work() as service:
                printer(f"Worker {self.name!r} started!")
                if run_once:
                    await service.serve_once()
                else:
                    await service.serve(stop, drain_s=self.drain_s)

        with _healthcheck(self) if with_healthcheck else contextlib.nullcontext():
            await LoopThread(main).run(deadline_s=self.drain_s + DEADLINE_MARGIN_S)
        printer(f"Worker {self.name!r} stopped!")

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> BaseWorkerResult:
        """Refuse: only `start` runs flows; Prefect calls this for its experimental submit()."""
        raise NotImplementedError("a warm worker takes its runs from its work pool only")

    def is_worker_still_polling(self, query_interval_seconds: float) -> bool:
        """Answer Prefect's health check."""
        if self._service is not None:
            self._last_polled_time = self._service.dispatcher.polled_at
        return super().is_worker_still_polling(query_interval_seconds)

    async def _setup_cancellation_observer(self) -> None:
        """Leave out the base's observer of pending runs: `orders` watches every run."""

    @contextlib.asynccontextmanager
    async def _at_work(self) -> AsyncIterator[Service]:
        """Open the client that the worker and every engine share, and announce the worker."""
        from deployments.result_storage import shared_result_storage
        from deployments.worker.service import Service

        # The clients that Prefect takes from its context: each new one makes a TLS context (30 ms).
        async with contextlib.AsyncExitStack() as clients:
            # Prefect's heartbeat is a thread and an event for each run (a tenth of the server's
            # work); whether this process lives, its own heartbeat tells.
            clients.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
            clients.enter_context(SyncClientContext())
            await clients.enter_async_context(AsyncClientContext())
            await clients.enter_async_context(shared_result_storage())
            await self.setup()
            self._started_event = await self._emit_worker_started_event()
            try:
                self._service = Service(self._station(), self._limit, self._sync_and_initialize)
                yield self._service
            finally:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TEARDOWN_S):
                        await self.teardown(None, None, None)

    def _station(self) -> Station:
        from deployments.worker.station import Station

        return Station(
            client=self.client,
            pool=self._work_pool_name,
            pool_id=lambda: None if self._work_pool is None else self._work_pool.id,
            queues=tuple(sorted(self._work_queues)),
            worker_name=self.name,
            identity=self.identity,
            logger=self._logger,
            resumable_packages=self.resumable_packages,
        )


@contextlib.contextmanager
def _healthcheck(worker: SwitchyardWorker) -> Iterator[None]:
    from prefect.workers.server import _run_healthcheck_server

    interval_s = PREFECT_WORKER_QUERY_SECONDS.value()
    with _run_healthcheck_server(lambda: worker.is_worker_still_polling(interval_s)):
        yield
