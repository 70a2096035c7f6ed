"""The runs that this worker has in its hands, each an asyncio task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from prefect.client.schemas.objects import FlowRun


class Ending(StrEnum):
    """Why a run is being ended from outside."""

    CANCELLED = "cancelled"
    HANDED_BACK = "handed back"


@dataclass(slots=True)
class Run:
    """One flow run in this process; `ending` is set before its task is cancelled."""

    flow_run: FlowRun
    ending: Ending | None = None
    task: asyncio.Task[None] | None = None

    def end(self, ending: Ending) -> None:
        """Cancel the run's task, once: a second cancellation would disturb the settling."""
        if self.ending is None and self.task is not None:
            self.ending = ending
            self.task.cancel()

    def forget_cancellation(self) -> None:
        """Let the run's task go on after it has caught its cancellation, to report the end."""
        if self.task is not None:
            self.task.uncancel()


@dataclass(slots=True)
class RunTable:
    """Runs by id, at most `limit`; `on_room` is called when one that mattered has ended."""

    limit: int | None
    on_room: Callable[[], None]
    _runs: dict[UUID, Run] = field(default_factory=dict)
    _look_again: bool = False

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def __contains__(self, flow_run_id: object) -> bool:
        return flow_run_id in self._runs

    def find(self, flow_run_id: UUID) -> Run | None:
        """Return the run, or None when it is not here."""
        return self._runs.get(flow_run_id)

    def room(self) -> int:
        """Return how many more runs may be started now."""
        return 200 if self.limit is None else max(0, self.limit - len(self._runs))

    def look_again(self) -> None:
        """Have `on_room` called when the next run ends: there is work that could not be taken."""
        self._look_again = True

    def start(self, flow_run: FlowRun, execute: Callable[[Run], Awaitable[None]]) -> None:
        """Run `execute` in a task of its own, and forget the run when it has ended."""
        run = Run(flow_run)
        self._runs[flow_run.id] = run
        run.task = asyncio.create_task(self._carry(run, execute), name=f"run {flow_run.id}")

    async def wait(self, timeout_s: float | None) -> None:
        """Wait until no run is left, or until the time is up."""
        tasks = [run.task for run in self if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _carry(self, run: Run, execute: Callable[[Run], Awaitable[None]]) -> None:
        try:
            await execute(run)
        finally:
            del self._runs[run.flow_run.id]
            if self._look_again:
                self._look_again = False
                self.on_room()
