"""Runs of dead workers: found by their owner's missing heartbeat and put back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, Worker

from deployments.worker.flow_cache import FlowCache
from deployments.worker.identity import parse_identity
from deployments.worker.put_back import owner, settle_orphan
from deployments.worker.run_table import RunTable
from deployments.worker.station import Station

HEARTBEAT_S = 10
DEAD_AFTER_S = 3 * HEARTBEAT_S
FORGET_AFTER = timedelta(hours=1)
CARRIED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
PAGE = 200


class Reclaimer:
    """Puts the runs of dead workers back; of the living ones only the first by name does it.

    Two at once would race: Prefect has no compare-and-set on states, and the second forced state
    would pull the run from under the worker that the first one gave it to.
    """

    def __init__(self, station: Station, runs: RunTable, flows: FlowCache) -> None:
        self._station = station
        self._runs = runs
        self._flows = flows
        self._owners: dict[UUID, tuple[UUID, str | None]] = {}
        self.answering_since: float | None = None

    async def reclaim(self) -> None:
        """Look once at all carried runs of the pool."""
        try:
            await self._reclaim()
        except BaseException:
            self.answering_since = None
            raise

    async def _reclaim(self) -> None:
        if self.answering_since is None:
            self.answering_since = time.monotonic()
        workers = await self._station.client.read_workers_for_work_pool(self._station.pool)
        living = self.living(workers)
        if min(living, default="") != self._station.worker_name:
            return
        carried = await self._carried()
        for flow_run in carried:
            await self._look_at(flow_run, living)
        carried_ids = {flow_run.id for flow_run in carried}
        self._owners = {key: known for key, known in self._owners.items() if key in carried_ids}
        await self._forget_dead(workers, living)

    def living(self, workers: Sequence[Worker]) -> set[str]:
        """Return the names of the workers that are alive, by the server's clock; we are one."""
        newest = _newest_heartbeat(workers)
        alive = {
            worker.name
            for worker in workers
            if self._is_heard(worker, newest) and not self._is_known_dead(worker.name)
        }
        return alive | {self._station.worker_name}

    def _is_heard(self, worker: Worker, newest: datetime) -> bool:
        """Return whether its heart beats; after an outage of the server nobody's silence counts."""
        if worker.last_heartbeat_time is None:
            return False
        silent_s = (newest - worker.last_heartbeat_time).total_seconds()
        if silent_s > FORGET_AFTER.total_seconds():
            return False
        since = self.answering_since
        judged = since is not None and time.monotonic() - since > DEAD_AFTER_S
        return silent_s < DEAD_AFTER_S or not judged

    def _is_known_dead(self, worker_name: str) -> bool:
        identity = parse_identity(worker_name)
        return identity is not None and identity.is_known_dead(self._station.identity)

    async def _carried(self) -> list[FlowRun]:
        found: list[FlowRun] = []
        while True:
            page = await self._station.client.read_flow_runs(
                work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._station.pool])),
                flow_run_filter=FlowRunFilter(
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=CARRIED))
                ),
                limit=PAGE,
                offset=len(found),
            )
            found += page
            if len(page) < PAGE:
                return found

    async def _look_at(self, flow_run: FlowRun, living: set[str]) -> None:
        if flow_run.id in self._runs:
            return
        name = await self._owner(flow_run)
        # Ours but not in our hands: the server granted the claim, and its answer was lost.
        if name is None or (name in living and name != self._station.worker_name):
            return
        if flow_run.id in self._runs:  # it became ours while we asked
            return
        # Listed a moment ago: a run of ours that has ended since must not be started again.
        current = await self._station.client.read_flow_run(flow_run.id)
        if current.state_id != flow_run.state_id:
            return
        await settle_orphan(
            self._station,
            current,
            resumable=await self._flows.is_resumable(flow_run.deployment_id),
            why=f"worker {name} is gone",
        )

    async def _owner(self, flow_run: FlowRun) -> str | None:
        """Return the run's worker; None when it is not known or no warm worker."""
        state_id = flow_run.state_id or flow_run.id
        known = self._owners.get(flow_run.id)
        if known is None or known[0] != state_id:
            known = (state_id, await owner(self._station, flow_run))
            self._owners[flow_run.id] = known
        return known[1]

    async def _forget_dead(self, workers: Sequence[Worker], living: set[str]) -> None:
        """Delete the records of warm workers long gone: each process leaves one."""
        newest = _newest_heartbeat(workers)
        for worker in workers:
            if worker.name in living or parse_identity(worker.name) is None:
                continue
            if worker.last_heartbeat_time and newest - worker.last_heartbeat_time > FORGET_AFTER:
                await self._station.client.request(
                    "DELETE",
                    "/work_pools/{work_pool_name}/workers/{name}",
                    path_params={"work_pool_name": self._station.pool, "name": worker.name},
                )


def _newest_heartbeat(workers: Sequence[Worker]) -> datetime:
    """Return the server's idea of now: whoever is alive, we among them, has just been heard."""
    heard = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time]
    return max(heard, default=datetime.min.replace(tzinfo=UTC))
