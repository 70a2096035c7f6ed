"""Giving a run that nobody carries any more a state on which somebody acts."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed, Scheduled

from deployments.worker.claim import claimant
from deployments.worker.station import Station

RECLAIMED = "Reclaimed"
RECLAIMS_MAX = 5


async def settle_orphan(station: Station, flow_run: FlowRun, *, resumable: bool, why: str) -> None:
    """End a run that was to be cancelled, put a resumable one back, end the others as Crashed."""
    if flow_run.state_type in (StateType.CANCELLING, StateType.CANCELLED):
        await cancel(station, flow_run.id, f"cancelled; {why}")
    elif resumable:
        await put_back(station, flow_run.id, why)
    else:
        await crash(station, flow_run.id, f"{why}; only Switchyard's own flows are run again")


async def put_back(station: Station, flow_run_id: UUID, why: str) -> None:
    """Schedule the run for now; after 5 times end it Crashed, for then the run is at fault.

    The ledger makes a second execution safe: the flow run id is the request's key, and a flow
    goes on from the attempt's row.
    """
    states = await station.client.read_flow_run_states(flow_run_id)
    times = sum(state.name == RECLAIMED for state in states)
    if times >= RECLAIMS_MAX:
        await crash(station, flow_run_id, f"{why}; it was already put back {times} times")
        return
    state: State[None] = Scheduled(
        name=RECLAIMED,
        scheduled_time=datetime.now(UTC),
        message=f"{why}; put back ({times + 1} of {RECLAIMS_MAX})",
    )
    await station.client.set_flow_run_state(flow_run_id, state, force=True)
    station.logger.warning("flow run %s put back: %s", flow_run_id, why)


async def crash(station: Station, flow_run_id: UUID, message: str) -> None:
    """End the run as Crashed."""
    await station.client.set_flow_run_state(flow_run_id, Crashed(message=message), force=True)
    station.logger.error("flow run %s crashed: %s", flow_run_id, message)


async def cancel(station: Station, flow_run_id: UUID, message: str) -> None:
    """End the run as Cancelled."""
    await station.client.set_flow_run_state(flow_run_id, Cancelled(message=message), force=True)


async def is_claimed_by(station: Station, flow_run: FlowRun, worker_name: str) -> bool:
    """Return whether that worker made the run's last claim."""
    return await owner(station, flow_run) == worker_name


async def owner(station: Station, flow_run: FlowRun) -> str | None:
    """Return the warm worker that claimed the run last, else None."""
    if flow_run.state is not None and flow_run.state.type is StateType.PENDING:
        return claimant([flow_run.state])
    return claimant(await station.client.read_flow_run_states(flow_run.id))
