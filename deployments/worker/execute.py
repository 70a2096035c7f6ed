"""One run from its claim to a state that lasts."""

from __future__ import annotations

import asyncio

from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.logging.loggers import flow_run_logger

from deployments.worker.claim import claim
from deployments.worker.engine import run_in_engine
from deployments.worker.flow_cache import FlowCache
from deployments.worker.put_back import cancel, crash, is_claimed_by, put_back
from deployments.worker.run_table import Ending, Run
from deployments.worker.station import SERVER_TROUBLE, Station

UNFINISHED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
CONCLUDE_EVERY_S = 1.0


async def execute(run: Run, station: Station, flows: FlowCache) -> None:
    """Claim the run, run it, and leave it in a state on which somebody acts, whatever happens.

    This is a process edge: nothing that a run raises may reach the other runs.
    """
    failure: BaseException | None = None
    try:
        if not await claim(station, run.flow_run):
            return
        flow = await flows.load(run.flow_run.deployment_id)
        await run_in_engine(run, flow)
    except (Pause, Abort):
        return  # the server has said what becomes of the run
    except asyncio.CancelledError:
        if run.ending is None:
            raise
        run.forget_cancellation()
    # BaseException, because a flow may raise SystemExit, which would end the event loop.
    except BaseException as raised:
        failure = raised
        flow_run_logger(run.flow_run).error("The run ended with %r", raised, exc_info=raised)
    if _is_unfinished(run.flow_run.state):
        await _conclude(run, station, failure)


def _is_unfinished(state: State | None) -> bool:
    return state is None or state.type in UNFINISHED or state.type is StateType.SCHEDULED


async def _conclude(run: Run, station: Station, failure: BaseException | None) -> None:
    """Try until the server has heard what became of the run."""
    while True:
        try:
            await _conclude_once(run, station, failure)
        except ObjectNotFound:
            return  # somebody has deleted the run
        except SERVER_TROUBLE as trouble:
            station.logger.debug("run %s not concluded yet: %r", run.flow_run.id, trouble)
        else:
            return
        await asyncio.sleep(CONCLUDE_EVERY_S)


async def _conclude_once(run: Run, station: Station, failure: BaseException | None) -> None:
    flow_run = await station.client.read_flow_run(run.flow_run.id)
    if flow_run.state_type not in UNFINISHED:
        return
    if not await is_claimed_by(station, flow_run, station.worker_name):
        return
    if run.ending is Ending.CANCELLED or flow_run.state_type is StateType.CANCELLING:
        await cancel(station, flow_run.id, "cancelled before its flow had begun")
    elif run.ending is Ending.HANDED_BACK:
        await put_back(station, flow_run.id, f"worker {station.worker_name} stops")
    elif failure is None or isinstance(failure, SERVER_TROUBLE):
        await put_back(station, flow_run.id, f"the Prefect server was lost: {failure!r}")
    else:
        await crash(station, flow_run.id, f"{type(failure).__name__}: {failure}")
