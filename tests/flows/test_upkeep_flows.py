"""The scheduled flows as real flow runs: what each does, when repeated too, and what it leaves."""

from __future__ import annotations

from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest

from deployments.lanes import run_in_lane
from deployments.simulator import Fault, FaultRule, RunningSimulator
from models.request import RoutingRequest
from models.result import Status
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.decisions import read_decision

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("prefect_api_url"),
    # Prefect's own client leaves a keep-alive socket behind when a flow run ends
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket"),
]
MODEL = "openai/gpt-4o-mini"


async def artifact(key: str) -> Any:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            sort=ArtifactSort.CREATED_DESC,
            limit=1,
        )
    return found[0]


async def answered(times: int = 1) -> None:
    for _ in range(times):
        request = RoutingRequest(prompt="Name three rivers.", model=MODEL)
        assert (await run_in_lane(request, "ledger")).status is Status.COMPLETED


async def windows(runtime: Runtime) -> list[dict[str, Any]]:
    return await runtime.database.fetch_all(
        "SELECT model_name, total_requests, successful_requests, failed_requests, total_cost"
        " FROM model_performance ORDER BY model_name, window_start"
    )


async def spent_usd(runtime: Runtime, period: str = "daily") -> Decimal:
    states = await runtime.ledger.budgets()
    (found,) = [s for s in states if s.budget_type == "global" and s.budget_period == period]
    return found.spent_amount


async def test_recompute_priorities_makes_the_same_windows_when_run_twice(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    from flows.recompute_priorities import recompute_priorities

    await answered(3)
    simulator.add_fault(FaultRule(fault=Fault.BAD_GATEWAY, times=1))
    await run_in_lane(RoutingRequest(prompt="Name a lake.", model=MODEL), "ledger")
    await recompute_priorities()
    first = await windows(runtime)
    await recompute_priorities()
    assert await windows(runtime) == first
    assert sum(window["total_requests"] for window in first) == 4
    assert sum(window["failed_requests"] for window in first) == 1
    assert sum(window["total_cost"] for window in first) == sum(
        (charge.cost for charge in simulator.charges[:3]), Decimal(0)
    )
    report = await artifact("model-performance")
    assert "gpt" in report.data and "75%" in report.data.replace("\\", "")
    chart = await artifact("model-cost")
    assert chart.type == "image"
    assert b"<svg" in b64decode(chart.data.split(",", 1)[1])


async def test_recompute_priorities_leaves_the_policies_alone(runtime: Runtime) -> None:
    from flows.recompute_priorities import recompute_priorities

    query = "SELECT name, version, policy_config FROM routing_policies ORDER BY name"
    before = await runtime.database.fetch_all(query)
    await answered()
    await recompute_priorities()
    assert await runtime.database.fetch_all(query) == before


async def test_reset_budgets_reports_the_ended_period_and_closes_it_once(
    runtime: Runtime,
) -> None:
    from flows.reset_budgets import reset_budgets

    await answered()
    await runtime.database.execute(
        "UPDATE cost_budgets SET period_start = period_start - interval '3 days',"
        " period_end = period_end - interval '3 days' WHERE definition_id IS NOT NULL"
    )
    assert (await reset_budgets())["closed"] == 1
    report = (await artifact("budget-periods")).data
    assert "global daily" in report and "final" in report
    assert (await artifact("budget-use")).type == "image"
    assert (await reset_budgets())["ended"] == 0


async def test_reset_budgets_opens_the_next_period_once(runtime: Runtime) -> None:
    from flows.reset_budgets import reset_budgets

    await answered()
    assert (await reset_budgets())["opened"] == 1
    assert (await reset_budgets())["opened"] == 0


async def test_sweep_ledger_settles_expired_work_and_says_so(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    from flows.sweep_ledger import sweep_ledger

    simulator.add_fault(FaultRule(fault=Fault.CUT, times=1))  # charged, and the answer is lost
    await run_in_lane(RoutingRequest(prompt="Name a lake.", model=MODEL), "ledger")
    await runtime.database.execute("UPDATE model_selections SET reconcile_after = now()")
    done = await sweep_ledger()
    assert done["bills found by their generation"] == 1
    assert await spent_usd(runtime) == simulator.charges[0].cost
    assert "bills found by their generation" in (await artifact("sweep")).data
    assert await sweep_ledger() == {}


async def test_sweep_ledger_ends_what_waits_too_long(runtime: Runtime) -> None:
    from flows.sweep_ledger import sweep_ledger

    request = RoutingRequest(
        prompt="Name a lake.", model=MODEL, approval_above_usd=Decimal("0.0000001")
    )
    result = await run_in_lane(request, "ledger")
    await runtime.database.execute("UPDATE approvals SET expires_at = now()")
    assert (await sweep_ledger())["waiting requests ended"] == 1
    row = await read_decision(runtime.database, result.decision_id)
    assert row is not None and row["status"] == "rejected"


async def test_reconcile_spend_finds_no_drift_when_every_call_is_booked(
    runtime: Runtime,
) -> None:
    from flows.reconcile_spend import reconcile_spend

    await answered(3)
    assert await reconcile_spend() == {"daily": "0", "weekly": "0", "monthly": "0"}
    assert "agree" in (await artifact("spend-reconciliation")).data


async def charge_behind_our_back(simulator: RunningSimulator) -> Decimal:
    """What the same key spends outside: a charge that no row of the ledger explains."""
    from dataclasses import replace

    (first, *_) = simulator.charges
    simulator.simulator.log.append(
        replace(first, generation_id="gen-elsewhere", cost=Decimal("0.25"))
    )
    return Decimal("0.25")


async def test_reconcile_spend_corrects_drift_once_and_raises_an_alert(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    from flows.reconcile_spend import reconcile_spend

    await answered()
    before = await spent_usd(runtime)
    drift_usd = await charge_behind_our_back(simulator)
    assert (await reconcile_spend())["daily"] == str(drift_usd)
    assert await spent_usd(runtime) == before + drift_usd
    assert (await reconcile_spend())["daily"] == "0"
    assert await spent_usd(runtime) == before + drift_usd
    (entry,) = await runtime.database.fetch_all("SELECT amount, reason FROM budget_adjustments")
    assert entry["amount"] == drift_usd and entry["reason"].startswith("reconcile-spend:")
    alerts = await runtime.database.fetch_all("SELECT subject FROM alerts WHERE kind='spend.drift'")
    assert {alert["subject"] for alert in alerts} == {
        "switchyard.spend.daily",
        "switchyard.spend.weekly",
        "switchyard.spend.monthly",
    }
    assert (await runtime.ledger.audit()).is_clean


async def test_reconcile_spend_lets_open_calls_explain_a_difference(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    from flows.reconcile_spend import reconcile_spend

    simulator.add_fault(FaultRule(fault=Fault.CUT, times=1))
    await run_in_lane(RoutingRequest(prompt="Name a lake.", model=MODEL), "ledger")
    assert len(simulator.charges) == 1
    assert (await reconcile_spend())["daily"] == "0"


async def test_reconcile_spend_completes_when_the_upstream_has_no_meter(
    runtime: Runtime, simulator: RunningSimulator
) -> None:
    from deployments.simulator import FaultMatch
    from flows.reconcile_spend import reconcile_spend

    await answered()
    simulator.add_fault(FaultRule(fault=Fault.UNAVAILABLE, match=FaultMatch(path="/key")))
    assert await reconcile_spend() == {}
    assert "Nothing to compare" in (await artifact("spend-reconciliation")).data


async def test_refresh_catalogue_reports_what_changed_and_suspends_what_vanished(
    runtime: Runtime,
) -> None:
    from flows.refresh_catalogue import refresh_catalogue

    await runtime.database.execute(
        "UPDATE model_catalogue SET prompt_usd = prompt_usd * 2,"
        " priced_at = priced_at - interval '1 hour' WHERE model_id = %s",
        (MODEL,),
    )
    await runtime.database.execute(
        "UPDATE model_catalogue SET model_id = 'gone/model' WHERE model_id ="
        " (SELECT min(model_id) FROM model_catalogue WHERE suspended_reason IS NULL)"
    )
    found = await refresh_catalogue()
    assert (found["added"], found["repriced"], found["suspended"]) == (1, 1, 1)
    assert "gone/model" in (await artifact("price-list")).data.replace("\\", "")
    again = await refresh_catalogue()
    assert (again["added"], again["repriced"], again["suspended"]) == (0, 0, 0)
