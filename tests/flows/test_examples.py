"""Every example is performed against the simulator; its result says what the page promises."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from deployments.lanes import flow_lane
from deployments.simulator import RunningSimulator
from models.result import RoutingResult, Status
from tasks.adapters.runtime import Runtime
from tasks.adapters.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("prefect_api_url", "runtime", "examples")]


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder on the path, as `python examples/NAME.py` puts it there."""
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


async def performed(name: str, **options: Any) -> Any:
    play = importlib.import_module(name).play
    async with flow_lane():
        return await play(**options)


def policies(results: list[RoutingResult]) -> list[str]:
    return [result.policy for result in results]


async def test_chat_names_model_and_cost_of_each_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chat = await performed("chat_control_plane")
    assert policies(chat.answers) == ["ops", "code", "deep_research"]
    assert chat.cost_usd == sum(answer.cost_usd for answer in chat.answers) > 0
    printed = capsys.readouterr().out
    for answer in chat.answers:
        assert str(answer.model) in printed


async def test_self_heal_checks_cheaply_and_repairs_with_the_code_policy() -> None:
    done = await performed("self_heal")
    assert {name: policies(results) for name, results in done.items()} == {
        "payments": ["ops"],
        "search": ["ops", "code"],
        "mail": ["ops"],
    }


async def test_logs_crawler_pays_once_for_each_kind_of_error(simulator: RunningSimulator) -> None:
    found = await performed("logs_crawler")
    assert len(found) == 2
    assert len(simulator.charges) == 2
    again = await performed("logs_crawler")
    assert len(simulator.charges) == 2
    assert [one.decision_id for one in again.values()] == [
        one.decision_id for one in found.values()
    ]


async def test_code_crawler_reports_with_another_policy_than_it_analyses_with() -> None:
    results = await performed("code_crawler")
    assert policies(results) == ["code", "code", "code", "normal"]
    assert len({result.flow_run_id for result in results}) == 4


async def test_engine_refuses_the_worker_whose_budget_is_spent(runtime: Runtime) -> None:
    workers = {worker.name: worker for worker in await performed("engine")}
    statuses = [result.status for result in workers["intern"].results]
    assert Status.REJECTED in statuses
    assert {result.status for result in workers["engineer"].results} == {Status.COMPLETED}
    for worker in workers.values():
        assert worker.cost_usd <= worker.budget_usd
    assert (await runtime.ledger.audit()).is_clean


async def test_loop_repairs_with_consent_verifies_and_reports() -> None:
    results = await performed("l5_loop", unattended=True)
    assert {result.status for result in results} == {Status.COMPLETED}
    types = [result.task_type for result in results]
    assert types.count("investigate_error") == types.count("code_review") == 2
    assert types[-1] == "report"
    assert any("approved by the example's user" in " ".join(one.reasons) for one in results)


async def test_routing_within_a_flow_is_tasks_of_that_flow() -> None:
    from prefect.client.orchestration import get_client

    done = await performed("self_heal")
    run_id = done["mail"][0].flow_run_id
    assert {result.flow_run_id for results in done.values() for result in results} == {run_id}
    assert run_id is not None
    async with get_client() as client:
        run = await client.read_flow_run(run_id)
    assert (run.name is not None, run.state and run.state.name) == (True, "Completed")


async def test_example_runs_alone_from_the_command_line(
    settings: Settings, prefect_api_url: str
) -> None:
    environment = os.environ | {
        "DATABASE_URL": settings.database_dsn,
        "SWITCHYARD_SIMULATOR_URL": str(settings.switchyard_simulator_url),
        "SWITCHYARD_HOME": str(settings.home),
        "PREFECT_API_URL": prefect_api_url,
    }
    command = [sys.executable, str(EXAMPLES / "chat_control_plane.py"), "Is it up?"]
    done = await to_thread.run_sync(
        lambda: subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    )
    assert done.returncode == 0, done.stderr
    assert "[completed: ops -> " in done.stdout
    assert Decimal(done.stdout.rsplit("$", 1)[1]) > 0
