"""Alerts: raised once, kept through a crash, told to Prefect, never in a request's way."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from deployments.lanes import run_in_lane
from deployments.simulator import Fault, FaultMatch, FaultRule, RunningSimulator
from models.alert import Alert, AlertKind, event_of
from models.budget import BudgetDefinition
from models.request import RoutingRequest
from models.result import Status
from tasks.adapters.alerts import announce_alerts, collect_alerts, raise_alert
from tasks.adapters.runtime import Runtime, open_runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store.alerts import unannounced

pytestmark = pytest.mark.anyio
MODEL = "openai/gpt-4o-mini"


async def alerts(runtime: Runtime) -> list[dict[str, Any]]:
    return await runtime.database.fetch_all(
        "SELECT kind, subject, message, details, announced_at FROM alerts ORDER BY created_at"
    )


async def ask(**fields: Any) -> Status:
    values = {"prompt": "Name three rivers.", "model": MODEL, **fields}
    return (await run_in_lane(RoutingRequest(**values), "ledger")).status


async def warn_at(runtime: Runtime, share: str) -> None:
    await runtime.ledger.set_budget(
        BudgetDefinition(
            budget_type="global",
            budget_period="daily",
            budget_amount=Decimal(1),
            alert_threshold=Decimal(share),
        )
    )


async def test_crossing_a_threshold_is_one_alert_a_period(runtime: Runtime) -> None:
    await warn_at(runtime, "0.0001")  # $0.0001: some calls below it
    while not await alerts(runtime):
        assert await ask() is Status.COMPLETED
    assert await ask() is Status.COMPLETED
    (alert,) = await alerts(runtime)
    assert alert["kind"] == "budget.threshold"
    assert "global daily" in alert["message"]
    assert "0.01 %" in alert["message"]


async def test_alert_of_a_bill_is_collected_when_the_process_died_before(
    runtime: Runtime,
) -> None:
    await warn_at(runtime, "0.0001")
    while not await alerts(runtime):
        await ask()
    await runtime.database.execute("DELETE FROM alerts")  # settled, and killed at once
    assert await collect_alerts(runtime) == 1
    assert await collect_alerts(runtime) == 0


async def test_bill_above_its_hold_is_an_alert(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    simulator.add_fault(FaultRule(fault=Fault.COST_MULTIPLIED, multiplier=Decimal(10_000)))
    assert await ask() is Status.COMPLETED
    (alert,) = [a for a in await alerts(runtime) if a["kind"] == "cost.overrun"]
    assert alert["details"]["model"] == MODEL
    assert Decimal(alert["details"]["overrun_usd"]) > 0


async def test_circuit_that_opens_is_one_alert(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    simulator.add_fault(FaultRule(fault=Fault.BAD_GATEWAY, match=FaultMatch(model=MODEL)))
    for _ in range(7):
        await ask()
    (alert,) = await alerts(runtime)
    assert (alert["kind"], alert["subject"]) == ("circuit.opened", f"switchyard.model.{MODEL}")


async def test_bill_unknown_for_a_quarter_of_an_hour_is_one_alert(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    simulator.add_fault(FaultRule(fault=Fault.CUT, times=1))
    await ask()
    assert await collect_alerts(runtime) == 0
    await runtime.database.execute(
        "UPDATE model_selections SET lease_expires_at = now() - interval '16 minutes'"
        " WHERE state = 'UNKNOWN'"
    )
    assert await collect_alerts(runtime) == 1
    assert await collect_alerts(runtime) == 0


async def test_request_completes_when_prefect_does_not_answer_to_its_alert(
    settings: Settings, simulator: RunningSimulator
) -> None:
    nobody = settings.model_copy(update={"prefect_api_url": "http://127.0.0.1:9/api"})
    async with open_runtime(nobody) as opened:
        await warn_at(opened, "0.0001")
        while not await alerts(opened):
            assert await ask() is Status.COMPLETED
        for _ in range(100):
            if not _telling():
                break
            await asyncio.sleep(0.05)
        assert len(await unannounced(opened.database, 10)) == 1  # told when Prefect is back


def _telling() -> bool:
    return any("_tell" in str(task.get_coro()) for task in asyncio.all_tasks())


async def test_without_prefect_the_log_is_told(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    await raise_alert(runtime, an_alert())
    assert "rests" in caplog.text and '"alert": "circuit.opened"' in caplog.text
    assert await announce_alerts(runtime) == 1
    assert await announce_alerts(runtime) == 0


async def test_same_alert_is_raised_once(runtime: Runtime) -> None:
    await raise_alert(runtime, an_alert())
    await raise_alert(runtime, an_alert())
    assert len(await alerts(runtime)) == 1


async def test_prefect_keeps_the_event_of_an_alert_with_what_it_concerns(
    settings: Settings, prefect_api_url: str
) -> None:
    told = settings.model_copy(update={"prefect_api_url": prefect_api_url})
    async with open_runtime(told) as opened:
        await raise_alert(opened, an_alert())
        (event,) = await events("switchyard.circuit.opened")
        for _ in range(100):
            if (await alerts(opened))[0]["announced_at"] is not None:
                break
            await asyncio.sleep(0.05)
        assert await announce_alerts(opened) == 0
    assert event["resource"]["prefect.resource.id"] == "switchyard.model.some/model"
    assert event["related"][0]["prefect.resource.role"] == "model"
    assert event["payload"]["message"] == "some/model rests"


async def events(name: str) -> list[dict[str, Any]]:
    """What the Prefect server has of this event; it takes it a moment to store one."""
    from prefect.client.orchestration import get_client

    for _ in range(200):
        async with get_client() as client:
            body = {"filter": {"event": {"name": [name]}}}
            response = await client._client.post("/events/filter", json=body)
            found = response.json()["events"]
        if found:
            return list(found)
        await asyncio.sleep(0.1)
    raise AssertionError(f"no event {name}")


def an_alert() -> Alert:
    return Alert(
        kind=AlertKind.CIRCUIT_OPENED,
        dedupe_key="circuit:some/model:1",
        subject="switchyard.model.some/model",
        message="some/model rests",
        details={"model": "some/model"},
    )


async def test_event_of_an_alert_has_the_alerts_identity(runtime: Runtime) -> None:
    await raise_alert(runtime, an_alert())
    (stored,) = await unannounced(runtime.database, 10)
    assert event_of(stored)["id"] == str(stored.id)
