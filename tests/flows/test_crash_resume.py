"""A killed flow run, and the next under the same key: fence and ledger decide, paid once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from deployments.lanes import run_in_lane
from deployments.prefect_server import client_environment
from deployments.simulator import Fault, FaultRule, RunningSimulator
from models.attempt import AttemptRow, AttemptState
from models.request import RoutingRequest
from models.result import Status
from tasks.adapters.runtime import Runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store.decisions import find_decision

pytestmark = [
    pytest.mark.anyio,
    # Prefect's own client leaves a keep-alive socket behind when a flow run ends
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket"),
]
PATIENCE_S = 120.0
KEY = "killed"
REQUEST = RoutingRequest(
    prompt="Name three rivers.", model="openai/gpt-4o-mini", idempotency_key=KEY
)
RUN = f"""
import asyncio
from flows.route_request import route_request
from models.request import RoutingRequest
asyncio.run(route_request(request=RoutingRequest.model_validate_json({REQUEST.model_dump_json()!r})))
"""
DIE_BEFORE_THE_RESULT_IS_STORED = """
import dataclasses, os, signal
import flows.route_request as module
async def die(arrival, ending):
    os.kill(os.getpid(), signal.SIGKILL)
module.PREFECT_STEPS = dataclasses.replace(module.PREFECT_STEPS, record_outcome=die)
"""


def start(code: str, settings: Settings, home: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | client_environment(settings)
    environment |= {
        "DATABASE_URL": settings.database_dsn,
        "SWITCHYARD_SIMULATOR_URL": settings.switchyard_simulator_url or "",
        "SWITCHYARD_HOME": str(home),
        "SWITCHYARD_REQUEST_TIMEOUT_S": "10",
    }
    return subprocess.Popen([sys.executable, "-c", code], env=environment)


async def attempts(runtime: Runtime) -> list[AttemptRow]:
    known = await find_decision(runtime.database, KEY)
    return [] if known is None else await runtime.ledger.attempts(known.decision_id)


async def until(is_so: Callable[[], Awaitable[bool]], run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await is_so():
        assert run.poll() is None, "the run ended by itself"
        assert time.monotonic() < deadline, "the run did not come so far"
        await asyncio.sleep(0.1)


def dispatched(simulator: RunningSimulator) -> list[str]:
    return [str(charge.metadata) for charge in simulator.charges]


@pytest.fixture
def settings(settings: Settings, prefect_api_url: str) -> Settings:
    return settings.model_copy(update={"prefect_api_url": prefect_api_url})


async def test_run_after_a_kill_in_mid_call_never_sends_the_same_attempt_again(
    runtime: Runtime, simulator: RunningSimulator, settings: Settings, tmp_path: Path
) -> None:
    simulator.add_fault(FaultRule(fault=Fault.HANG, times=1))
    run = start(RUN, settings, tmp_path)

    async def is_billed_upstream() -> bool:
        states = [row.state for row in await attempts(runtime)]
        return states == [AttemptState.SENT] and len(simulator.charges) == 1

    await until(is_billed_upstream, run)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    held = (await attempts(runtime))[0].estimated_cost_usd
    # the lease of the dead run passes
    await runtime.database.execute("UPDATE model_selections SET lease_expires_at = now()")
    result = await run_in_lane(REQUEST, "flow")
    assert result.status is Status.COMPLETED
    rows = await attempts(runtime)
    assert [row.state for row in rows] == [AttemptState.UNKNOWN, AttemptState.SETTLED]
    assert len(dispatched(simulator)) == len(set(dispatched(simulator))) == 2
    (budget,) = [b for b in await runtime.ledger.budgets() if b.budget_type == "global"]
    assert budget.reserved_amount == held  # the lost answer may still be billed
    spent = budget.spent_amount + budget.reserved_amount
    assert spent >= sum(charge.cost for charge in simulator.charges)


async def test_run_after_a_kill_before_the_result_is_stored_takes_the_paid_answer(
    runtime: Runtime, simulator: RunningSimulator, settings: Settings, tmp_path: Path
) -> None:
    run = start(DIE_BEFORE_THE_RESULT_IS_STORED + RUN, settings, tmp_path)
    assert run.wait(120) == -signal.SIGKILL
    (row,) = await attempts(runtime)
    assert row.state is AttemptState.SETTLED
    result = await run_in_lane(REQUEST, "flow")
    assert result.status is Status.COMPLETED
    assert result.content
    assert result.decision_id == row.decision_id
    assert len(await attempts(runtime)) == len(simulator.charges) == 1
