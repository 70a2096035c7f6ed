"""The worker's life: take work until told to stop, then bring what runs to a good end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from uuid import UUID

from prefect.logging.handlers import APILogHandler

from deployments.worker.dispatch import Dispatcher
from deployments.worker.execute import execute
from deployments.worker.flow_cache import FlowCache
from deployments.worker.orders import obey_event, obey_orders
from deployments.worker.push import follow_events
from deployments.worker.reclaim import HEARTBEAT_S, Reclaimer
from deployments.worker.run_table import Ending, Run, RunTable
from deployments.worker.station import Station
from deployments.worker.stop import Stop
from deployments.worker.upkeep import SWEEP_EVERY_S, process_runtime, repeat, sweep_ledger

RECLAIM_EVERY_S = 10.0
ORDERS_EVERY_S = 5.0  # behind the push
SETTLE_S = 10.0  # for handed back runs to settle their money and say so
FLUSH_S = 5.0


class Service:
    """One worker's loops around one table of runs."""

    def __init__(
        self, station: Station, limit: int | None, heartbeat: Callable[[], Awaitable[None]]
    ) -> None:
        self._station = station
        self._heartbeat = heartbeat
        self._flows = FlowCache(station)
        self._runs = RunTable(limit, self._on_room)
        self._dispatcher = Dispatcher(station, self._runs, self._execute)
        self._reclaimer = Reclaimer(station, self._runs, self._flows)
        self._readers: set[asyncio.Task[None]] = set()

    @property
    def dispatcher(self) -> Dispatcher:
        """Where the work comes from."""
        return self._dispatcher

    async def serve(self, stop: Stop, *, drain_s: float) -> None:
        """Run what the pool offers until ordered to stop, then drain."""
        async with process_runtime() as opened, self._loops() as start:
            self._start_upkeep(start)
            if opened is not None:
                start(self._repeat(lambda: sweep_ledger(opened), SWEEP_EVERY_S, "sweep"))
            await self._until(stop, self._prepare)
            # What is loaded by now stays: a full collection would go through all of it, and block
            # the loop for about 0.1 s each time.
            gc.collect()
            gc.freeze()
            taking = start(self._dispatcher.serve())
            start(self._follow_events())
            await stop.ordered.wait()
            taking.cancel()
            await self._drain(stop, drain_s)

    async def serve_once(self) -> None:
        """Run what is due now, and end when it has ended."""
        async with process_runtime(), self._loops() as start:
            await self._prepare()
            self._start_upkeep(start)
            await self._dispatcher.poll()
            await self._runs.wait(None)
            await self._flush_logs()

    def _start_upkeep(self, start: Callable[[Coroutine[None, None, None]], object]) -> None:
        start(self._repeat(self._heartbeat, HEARTBEAT_S, "heartbeat"))
        start(self._repeat(self._reclaimer.reclaim, RECLAIM_EVERY_S, "reclaim"))
        start(self._repeat(self._obey_orders, ORDERS_EVERY_S, "orders"))

    async def _prepare(self) -> None:
        """Be known before the first claim: a claim by an unknown worker counts as an orphan."""
        await self._heartbeat()
        await self._flows.preload()

    async def _execute(self, run: Run) -> None:
        await execute(run, self._station, self._flows)

    async def _obey_orders(self) -> None:
        await obey_orders(self._station, self._runs, [run.flow_run.id for run in self._runs])

    def _repeat(
        self, work: Callable[[], Awaitable[None]], every_s: float, name: str
    ) -> Coroutine[None, None, None]:
        return repeat(work, every_s, name=name, logger=self._station.logger)

    async def _until(self, stop: Stop, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work as soon as the server answers, unless ordered to stop."""
        done = asyncio.Event()

        async def once() -> None:
            if not done.is_set():
                await work()
                done.set()

        trying = asyncio.create_task(self._repeat(once, 1.0, "imports"))
        waits = [asyncio.create_task(event.wait()) for event in (done, stop.ordered)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in (trying, *waits):
            task.cancel()

    def _follow_events(self) -> Coroutine[None, None, None]:
        return follow_events(
            self._station, on_due=self._on_due, on_order=self._on_order, on_link=self._on_link
        )

    def _on_due(self, flow_run_id: UUID) -> None:
        if flow_run_id in self._runs:
            self._runs.look_again()
        else:
            self._dispatcher.wake()

    def _on_order(self, flow_run_id: UUID) -> None:
        if flow_run_id in self._runs:
            reader = asyncio.create_task(obey_event(self._station, self._runs, flow_run_id))
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)

    def _on_link(self, up: bool) -> None:
        self._dispatcher.pushed = up
        self._dispatcher.wake()

    def _on_room(self) -> None:
        self._dispatcher.wake()

    async def _drain(self, stop: Stop, drain_s: float) -> None:
        """Wait for the runs; hand back what is not done in time, or at a second order at once."""
        self._station.logger.info("stopping: %d runs in flight", len(self._runs))
        drained = asyncio.create_task(self._runs.wait(drain_s))
        hurried = asyncio.create_task(stop.hurried.wait())
        await asyncio.wait([drained, hurried], return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        for run in self._runs:
            run.end(Ending.HANDED_BACK)
        await self._runs.wait(SETTLE_S)
        for run in self._runs:
            self._station.logger.warning("run %s is left to the other workers", run.flow_run.id)
        await self._flush_logs()

    async def _flush_logs(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(APILogHandler.aflush(), FLUSH_S)

    @contextlib.asynccontextmanager
    async def _loops(
        self,
    ) -> AsyncIterator[Callable[[Coroutine[None, None, None]], asyncio.Task[None]]]:
        """Yield what starts a loop; all of them are cancelled at the end."""
        tasks: list[asyncio.Task[None]] = []

        def start(loop: Coroutine[None, None, None]) -> asyncio.Task[None]:
            task = asyncio.create_task(loop)
            tasks.append(task)
            return task

        try:
            yield start
        finally:
            leftover = [*tasks, *self._readers, *(run.task for run in self._runs if run.task)]
            for task in leftover:
                task.cancel()
            await asyncio.gather(*leftover, return_exceptions=True)
