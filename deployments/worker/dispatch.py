"""Taking due runs from the pool, at once when told of them, by looking now and then otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import WorkerFlowRunResponse

from deployments.worker.run_table import Run, RunTable
from deployments.worker.station import SERVER_TROUBLE, Station

PUSHED_POLL_S = 10.0  # the safety net behind the push, and how far ahead runs are asked for
UNPUSHED_POLL_S = 0.5
TROUBLE_POLL_S = 1.0


class Dispatcher:
    """Looks for due runs when woken, when the next one falls due, and after an interval."""

    def __init__(
        self, station: Station, runs: RunTable, execute: Callable[[Run], Awaitable[None]]
    ) -> None:
        self._station = station
        self._runs = runs
        self._execute = execute
        self._wake = asyncio.Event()
        self.pushed = False
        self.polled_at = datetime.now(UTC)

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    async def serve(self) -> None:
        """Look for work until cancelled; outlives a server that is away."""
        answered = True
        while True:
            self._wake.clear()
            try:
                pause_s = await self.poll()
            except SERVER_TROUBLE as trouble:
                pause_s = TROUBLE_POLL_S
                if answered:
                    self._station.logger.warning("cannot look for runs: %r; trying on", trouble)
                answered = False
            else:
                answered = True
            await self._rest(pause_s)

    async def poll(self) -> float:
        """Start what is due and return after how many seconds to look again."""
        interval_s = PUSHED_POLL_S if self.pushed else UNPUSHED_POLL_S
        room = self._runs.room()
        if room == 0:
            self._runs.look_again()
            return interval_s
        now = datetime.now(UTC)
        found = await self._scheduled(now + timedelta(seconds=PUSHED_POLL_S), room)
        self.polled_at = now
        for flow_run in found:
            due_in_s = _due_in_s(flow_run, now)
            if due_in_s > 0:
                interval_s = min(interval_s, due_in_s)
            elif flow_run.id in self._runs or self._runs.room() == 0:
                self._runs.look_again()
            else:
                self._runs.start(flow_run, self._execute)
        return interval_s

    async def _scheduled(self, before: datetime, room: int) -> list[FlowRun]:
        # Prefect's own method has no limit: a backlog of 200 runs with their parameters (up to
        # 512 KB each) would be sent at every look.
        response = await self._station.client.request(
            "POST",
            "/work_pools/{name}/get_scheduled_flow_runs",
            path_params={"name": self._station.pool},
            json={
                "work_queue_names": list(self._station.queues),
                "scheduled_before": before.isoformat(),
                "limit": min(200, room + len(self._runs)),
            },
        )
        entries = WorkerFlowRunResponse.model_validate_list(response.json())
        return [entry.flow_run for entry in entries]

    async def _rest(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), pause_s)
        except TimeoutError:
            return


def _due_in_s(flow_run: FlowRun, now: datetime) -> float:
    due = flow_run.next_scheduled_start_time or flow_run.expected_start_time
    return 0.0 if due is None else due.timestamp() - now.timestamp()
