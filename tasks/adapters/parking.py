"""Releases work that waits: parked requests when money is there, approvals when answered.

A suspended run of a deployment is resumed. For any other caller a run of `route-request/default`
is triggered, which goes on with the same decision. Where there is no Prefect, or no such
deployment, the decision goes on in this process, if the process offers that (`run_here`).
Two sweepers never release one row at once, and if they did the ledger would still pay once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from models.errors import NotFound, PrefectFailed, SwitchyardError
from models.waiting import Step, Waiting, WaitingReport
from tasks.adapters.approvals import end_waiting, expire_approval
from tasks.adapters.headroom import HeadRoom
from tasks.adapters.prefect_api import PrefectApi, open_prefect_api
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import waiting as store

RunHere = Callable[[UUID], Awaitable[object]]
BATCH = 100
CROWD_REST_S = 10.0  # in a full batch, what does not fit lets the others come forward
ON_ITS_WAY_REST_S = 5.0
HERE_AT_ONCE = 8
HERE_MARGIN_S = 120.0
logger = logging.getLogger("switchyard.waiting")


async def release_due(
    opened: Runtime, *, run_here: RunHere | None = None, limit: int = BATCH
) -> WaitingReport:
    """Release, end or wake everything whose time has come, highest priority first."""
    return await _release(opened, run_here, limit=limit)


async def release_decision(
    opened: Runtime, decision_id: UUID, *, run_here: RunHere | None = None
) -> WaitingReport:
    """The same for one decision, say right after its approval; nothing when it is not due."""
    return await _release(opened, run_here, limit=1, only=decision_id)


async def _release(
    opened: Runtime, run_here: RunHere | None, *, limit: int, only: UUID | None = None
) -> WaitingReport:
    rows = await store.claim_waiting(opened.database, owner=opened.owner, limit=limit, only=only)
    if not rows:
        return WaitingReport()
    async with open_prefect_api(opened.settings) as prefect:
        release = _Release(opened, prefect, run_here, is_crowded=len(rows) == limit > 1)
        for row in rows:
            await release.attend(row)
        await release.run_here_together()
    return release.report()


@dataclass(slots=True)
class _Release:
    """One sweep's work on the rows it has claimed."""

    opened: Runtime
    prefect: PrefectApi | None
    run_here: RunHere | None
    is_crowded: bool
    head_room: HeadRoom = field(init=False)
    released: list[UUID] = field(default_factory=list)
    ended: list[UUID] = field(default_factory=list)
    woken: list[UUID] = field(default_factory=list)
    left: list[UUID] = field(default_factory=list)
    here: list[UUID] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.head_room = HeadRoom(self.opened)

    def report(self) -> WaitingReport:
        """Return what was done."""
        lists = (self.released, self.ended, self.woken, self.left, self.troubles)
        return WaitingReport(*(tuple(one) for one in lists))  # type: ignore[arg-type]

    async def attend(self, row: Waiting) -> None:
        """Do the row's next step; Prefect's trouble leaves it for the next sweep."""
        try:
            await self._step(row)
        except PrefectFailed as failure:
            self.troubles.append(f"{row.decision_id}: {failure}")
            logger.warning("decision %s waits on: %s", row.decision_id, failure)

    async def _step(self, row: Waiting) -> None:
        match row.step():
            case Step.END_LATE:
                await self._end_late(row)
            case Step.END_DENIED:
                await self._end(row, "not approved")
            case Step.EXPIRE:
                await expire_approval(self.opened, row.decision_id)
                self.ended.append(row.decision_id)
                await self._wake(row)
            case Step.WAKE:
                await self._wake(row)
            case Step.GO_ON:
                await self._go_on(row)
            case Step.CHECK_MONEY if await self.head_room.takes(row):
                await self._go_on(row)
            case Step.CHECK_MONEY:
                await self._leave(row, CROWD_REST_S if self.is_crowded else 0.0)

    async def _leave(self, row: Waiting, rest_s: float) -> None:
        self.left.append(row.decision_id)
        await store.put_back(
            self.opened.database, row.decision_id, owner=self.opened.owner, rest_s=rest_s
        )

    async def _end_late(self, row: Waiting) -> None:
        if await self._is_at_work(row):  # that run keeps the deadline itself
            await self._leave(row, ON_ITS_WAY_REST_S)
        else:
            await self._end(row, "the deadline passed while the request waited")

    async def _end(self, row: Waiting, reason: str) -> None:
        if await end_waiting(self.opened, row.decision_id, reason):
            self.ended.append(row.decision_id)
        await self._wake(row)

    async def _wake(self, row: Waiting) -> None:
        """Let a suspended run go on to its end: it will find the result."""
        if row.waits_in_run is None:
            return
        if self.prefect is not None:
            state = await self.prefect.run_state(row.waits_in_run)
            if state.is_suspended:
                await self.prefect.resume(row.waits_in_run, {"approve": False})
                self.woken.append(row.waits_in_run)
        await store.forget_run(self.opened.database, row.decision_id)

    async def _is_at_work(self, row: Waiting) -> bool:
        if self.prefect is None or row.waits_in_run is None:
            return False
        state = await self.prefect.run_state(row.waits_in_run)
        return not (state.is_over or state.is_suspended)

    async def _go_on(self, row: Waiting) -> None:
        if self.prefect is None or not await self._go_on_in_prefect(self.prefect, row):
            self.here.append(row.decision_id)

    async def _go_on_in_prefect(self, prefect: PrefectApi, row: Waiting) -> bool:
        """Resume the run or trigger one; False where the deployment does not exist."""
        if row.waits_in_run is not None:
            state = await prefect.run_state(row.waits_in_run)
            if state.is_suspended:
                if await prefect.resume(row.waits_in_run, {"approve": True}):
                    self.released.append(row.decision_id)
                return True
            if state.type == "CANCELLED":
                await self._end(row, "its flow run was cancelled while the request waited")
                return True
            if not state.is_over:
                await self._leave(row, ON_ITS_WAY_REST_S)
                return True
        key = f"switchyard-release:{row.decision_id}:{row.waits_in_run}"
        try:
            run_id = await prefect.trigger(row.decision_id, key=key)
        except NotFound:
            return False
        await store.hand_to_run(self.opened.database, row.decision_id, run_id)
        self.released.append(row.decision_id)
        return True

    async def run_here_together(self) -> None:
        """Go on in this process with what no flow run takes, a few at once, in order."""
        lease_s = self.opened.settings.switchyard_request_timeout_s + HERE_MARGIN_S
        for decision_id in self.here:
            rest_s = 0.0 if self.run_here is None else lease_s
            await store.put_back(
                self.opened.database, decision_id, owner=self.opened.owner, rest_s=rest_s
            )
        if self.run_here is None:
            self.left += self.here
            return
        places, run = asyncio.Semaphore(HERE_AT_ONCE), self.run_here
        await asyncio.gather(*(self._run_one(run, one, places) for one in self.here))

    async def _run_one(self, run: RunHere, decision_id: UUID, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await run(decision_id)
            except SwitchyardError as failure:
                self.troubles.append(f"{decision_id}: {failure}")
                logger.warning("decision %s could not go on: %s", decision_id, failure)
            else:
                self.released.append(decision_id)
