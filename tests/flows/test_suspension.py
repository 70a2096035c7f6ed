"""Runs of a deployment that wait: suspended in Prefect, no worker slot held, resumed by the answer.

One warm worker with a single slot serves all of these tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from pydantic import SecretStr

from deployments.lanes import run_in_lane
from deployments.postgres import PostgresServer
from deployments.prefect_server import client_environment
from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator
from deployments.worker.worker import SwitchyardWorker
from models.budget import BudgetDefinition
from models.request import OnExhausted, RoutingRequest
from models.result import Status
from tasks.adapters.approvals import answer_approval
from tasks.adapters.parking import release_decision
from tasks.adapters.runtime import Runtime, open_runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store.approvals import read_approval
from tasks.adapters.store.decisions import find_decision
from tasks.adapters.upkeep import sweep_once

pytestmark = [
    pytest.mark.anyio,
    # Prefect's own client leaves a keep-alive socket behind
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket"),
]
MODEL = "openai/gpt-4o-mini"
PATIENCE_S = 120.0
SLEEP_S = 0.2
WORKER = "from deployments.worker.start import run_worker; run_worker(limit=1, drain_s=5)"


@dataclass(frozen=True)
class Fleet:
    """The deployment, a worker with one slot, and what they use."""

    settings: Settings
    simulator: RunningSimulator
    client: SyncPrefectClient
    deployment_id: UUID

    def trigger(self, key: str, **fields: Any) -> UUID:
        request = {"prompt": "Name three rivers.", "model": MODEL, "idempotency_key": key, **fields}
        run = self.client.create_flow_run_from_deployment(
            self.deployment_id, parameters={"request": request}
        )
        return run.id

    def wait(self, run_id: UUID, *names: str) -> FlowRun:
        """Return the run once its state has one of these names."""
        deadline = time.monotonic() + PATIENCE_S
        run = self.client.read_flow_run(run_id)
        while time.monotonic() < deadline:
            run = self.client.read_flow_run(run_id)
            if run.state is not None and run.state.name in names:
                return run
            time.sleep(SLEEP_S)
        raise AssertionError(f"{run_id} is {run.state}, not {names}")


@pytest.fixture(scope="module")
def fleet(
    postgres_server: PostgresServer,
    prepared_template: str,
    prefect_api_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    home, name = tmp_path_factory.mktemp("fleet"), f"fleet_{uuid4().hex}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {prepared_template}")
    with contextlib.ExitStack() as stack:
        simulator = stack.enter_context(running_simulator(SimulatorConfig(latency_scale=0)))
        settings = Settings(
            openrouter_api_key=None,
            openrouter_base_url=None,
            database_url=SecretStr(postgres_server.url(name)),
            switchyard_simulator_url=simulator.url,
            switchyard_home=home,
            prefect_api_url=prefect_api_url,
        )
        client = stack.enter_context(SyncPrefectClient(prefect_api_url))
        template = SwitchyardWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name="switchyard", type="switchyard", base_job_template=template),
            overwrite=True,  # the session's server may have the pool from another test
        )
        deployment_id = client.create_deployment(
            client.create_flow_from_name("route-request"),
            "default",
            entrypoint="flows.route_request.route_request",
            work_pool_name="switchyard",
            pull_steps=[],
        )
        stack.enter_context(running_worker(settings, home))
        yield Fleet(settings, simulator, client, deployment_id)


@contextlib.contextmanager
def running_worker(settings: Settings, home: Path) -> Iterator[None]:
    environment = os.environ | client_environment(settings)
    environment |= {
        "DATABASE_URL": settings.database_dsn,
        "SWITCHYARD_SIMULATOR_URL": settings.switchyard_simulator_url or "",
        "SWITCHYARD_HOME": str(home),
    }
    worker = subprocess.Popen([sys.executable, "-c", WORKER], env=environment)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(30)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


@pytest.fixture
async def runtime(fleet: Fleet) -> AsyncIterator[Runtime]:
    async with open_runtime(fleet.settings) as opened:
        yield opened
        assert (await opened.ledger.audit()).is_clean


async def decision_of(runtime: Runtime, key: str) -> UUID:
    known = await find_decision(runtime.database, key)
    assert known is not None
    return known.decision_id


async def allow(runtime: Runtime, amount: str) -> None:
    await runtime.ledger.set_budget(
        BudgetDefinition(
            budget_type="worker",
            scope_key="w1",
            budget_period="daily",
            budget_amount=Decimal(amount),
        )
    )


async def test_person_approves_in_the_form_while_the_slot_is_free(
    fleet: Fleet, runtime: Runtime
) -> None:
    run_id = fleet.trigger("form", approval_above_usd="0.0000001")
    suspended = fleet.wait(run_id, "Suspended")
    decision_id = await decision_of(runtime, "form")
    assert suspended.state is not None
    keys = suspended.state.state_details.run_input_keyset
    assert keys is not None
    schema = fleet.client.read_flow_run_input(run_id, keys["schema"])
    assert "Approve this call" in schema
    assert "is held until somebody answers" in fleet.client.read_flow_run_input(
        run_id, keys["description"]
    )
    between = fleet.trigger("between")  # the only slot is free meanwhile
    fleet.wait(between, "Completed")
    fleet.client.resume_flow_run(run_id, {"approve": True, "approver": "ada", "note": "go"})
    fleet.wait(run_id, "Completed")
    approval = await read_approval(runtime.database, decision_id)
    assert approval is not None
    assert (approval.answer, approval.approver, approval.note) == ("approved", "ada", "go")
    attempts = await runtime.ledger.attempts(decision_id)
    assert [attempt.outcome for attempt in attempts] == ["ok"]


async def test_person_refuses_in_the_form(fleet: Fleet, runtime: Runtime) -> None:
    run_id = fleet.trigger("refused", approval_above_usd="0.0000001")
    fleet.wait(run_id, "Suspended")
    charges = len(fleet.simulator.charges)
    fleet.client.resume_flow_run(run_id, {"approve": False, "note": "too dear"})
    fleet.wait(run_id, "Rejected")
    (attempt,) = await runtime.ledger.attempts(await decision_of(runtime, "refused"))
    assert (attempt.state, attempt.actual_cost_usd) == ("RELEASED", 0)
    assert len(fleet.simulator.charges) == charges


async def test_command_answers_for_a_suspended_run(fleet: Fleet, runtime: Runtime) -> None:
    run_id = fleet.trigger("by command", approval_above_usd="0.0000001")
    fleet.wait(run_id, "Suspended")
    decision_id = await decision_of(runtime, "by command")
    await answer_approval(runtime, decision_id, approve=True, approver="ada")
    assert (await release_decision(runtime, decision_id)).released == (decision_id,)
    fleet.wait(run_id, "Completed")


async def test_suspended_run_ends_when_nobody_answers_in_time(
    fleet: Fleet, runtime: Runtime
) -> None:
    run_id = fleet.trigger("no answer", approval_above_usd="0.0000001")
    fleet.wait(run_id, "Suspended")
    decision_id = await decision_of(runtime, "no answer")
    await runtime.database.execute(
        "UPDATE approvals SET expires_at = now() WHERE decision_id = %s", (decision_id,)
    )
    outcome = await sweep_once(runtime)
    # the worker sweeps as well: whoever was first, the run hears of it
    assert outcome.waiting.ended in ((decision_id,), ())
    fleet.wait(run_id, "Rejected")


async def test_parked_run_is_suspended_and_resumed_when_money_is_there(
    fleet: Fleet, runtime: Runtime
) -> None:
    await allow(runtime, "0.00007")
    run_id = fleet.trigger("parked run", on_exhausted="park", worker_id="w1", max_tokens=100)
    fleet.wait(run_id, "Completed")  # fits: 100 tokens are below the limit
    parked = fleet.trigger("parked again", on_exhausted="park", worker_id="w1", max_tokens=100)
    fleet.wait(parked, "Suspended")
    await allow(runtime, "5")
    await sweep_once(runtime)
    fleet.wait(parked, "Completed")


async def test_release_triggers_the_deployment_for_any_other_caller(
    fleet: Fleet, runtime: Runtime
) -> None:
    request = RoutingRequest(
        prompt="Name three rivers.",
        model=MODEL,
        idempotency_key="ledger caller",
        on_exhausted=OnExhausted.REJECT,
        approval_above_usd=Decimal("0.0000001"),
    )
    result = await run_in_lane(request, "ledger")
    assert result.status is Status.AWAITING_APPROVAL
    await answer_approval(runtime, result.decision_id, approve=True, approver="ada")
    report = await release_decision(runtime, result.decision_id)
    assert report.released == (result.decision_id,)
    rows = await runtime.database.fetch_all(
        "SELECT waits_in_run FROM routing_decisions WHERE id = %s", (result.decision_id,)
    )
    fleet.wait(rows[0]["waits_in_run"], "Completed")
    answer = await run_in_lane(request, "ledger")
    assert (answer.decision_id, answer.status) == (result.decision_id, Status.COMPLETED)
    assert len(answer.attempts) == 1
