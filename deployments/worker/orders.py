"""Orders from outside for running runs: cancel, suspend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

# Private to Prefect, which is pinned: the same call by which the engine's own observer, left out
# here because it blocks the event loop, tells the engine to stop at its next step.
from prefect._flow_run_suspension import mark_flow_run_suspension_requested
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType

from deployments.worker.run_table import Ending, RunTable
from deployments.worker.station import SERVER_TROUBLE, Station

ORDER_STATES = [StateType.CANCELLING, StateType.CANCELLED, StateType.PAUSED]
# An event may arrive before the state that it tells of can be read.
READ_AGAIN_AFTER_S = (0.0, 0.5, 2.0)


async def obey_orders(station: Station, runs: RunTable, ids: Sequence[UUID]) -> None:
    """Read which of these runs are to stop, and stop them."""
    mine = [flow_run_id for flow_run_id in ids if flow_run_id in runs]
    if not mine:
        return
    ordered = await station.client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            id=FlowRunFilterId(any_=mine),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ORDER_STATES)),
        )
    )
    for flow_run in ordered:
        _obey(flow_run, runs)


async def obey_event(station: Station, runs: RunTable, flow_run_id: UUID) -> None:
    """Look whether the event is news about a run of ours; it may be old or early."""
    for delay_s in READ_AGAIN_AFTER_S:
        await asyncio.sleep(delay_s)
        run = runs.find(flow_run_id)
        if run is None or run.ending is not None:
            return
        try:
            await obey_orders(station, runs, [flow_run_id])
        except SERVER_TROUBLE as trouble:
            station.logger.debug("order for %s not read yet: %r", flow_run_id, trouble)


def _obey(flow_run: FlowRun, runs: RunTable) -> None:
    run, state = runs.find(flow_run.id), flow_run.state
    if run is None or state is None:
        return
    if state.type is not StateType.PAUSED:
        run.end(Ending.CANCELLED)
    elif state.name == "Suspended":
        mark_flow_run_suspension_requested(flow_run.id, state)
