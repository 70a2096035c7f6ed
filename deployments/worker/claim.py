"""Claiming a run: the step to Pending, which the server grants to one worker only."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort
from prefect.states import Pending
from prefect.utilities.engine import propose_state

from deployments.worker.station import Station

CLAIM = "claimed by worker "


async def claim(station: Station, flow_run: FlowRun) -> bool:
    """Return whether this worker may run it: False when another was first or a limit says wait.

    The claim names its owner in the state's message, so that claim and owner are one atomic
    write; an `infrastructure_pid` would be a second call and a moment without an owner.
    """
    wanted: State[None] = Pending(message=f"{CLAIM}{station.worker_name}")
    try:
        state = await propose_state(station.client, wanted, flow_run_id=flow_run.id)
    except Abort:
        return False
    return state.type is StateType.PENDING


def claimant(states: Sequence[State]) -> str | None:
    """Return the name of the worker that claimed the run last, from the run's states."""
    claims = [
        state
        for state in states
        if state.type is StateType.PENDING and (state.message or "").startswith(CLAIM)
    ]
    if not claims:
        return None
    newest = max(claims, key=lambda state: state.timestamp)
    return (newest.message or "").removeprefix(CLAIM)
