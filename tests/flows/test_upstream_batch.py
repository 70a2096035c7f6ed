"""Batches that the upstream works off at its discount, over real HTTP and PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deployments.batches import BatchOrder, run_batch
from deployments.simulator import Fault, FaultMatch, FaultRule, RunningSimulator
from models.batch import BatchCounts
from tasks.adapters.batches import upstream
from tasks.adapters.runtime import Runtime
from tasks.adapters.settings import Settings
from tests.flows.test_route_batch import line, results, written

pytestmark = pytest.mark.anyio
LINES = 12
SUBMITTED = "/api/v1/batches 202"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(upstream, "PAUSE_GROWTH", 1.0)


def told(simulator: RunningSimulator, **options: Any) -> None:
    inside = simulator.simulator
    inside.config = replace(inside.config, **({"batch_seconds": 0.1} | options))


def order(folder: Path, **fields: Any) -> BatchOrder:
    lines = [line(f"Is service {number} up?", **fields) for number in range(LINES)]
    source = written(folder / "in.jsonl", lines)
    return BatchOrder(source, folder / "out.jsonl", trace="ledger", upstream_batch=True)


async def run(settings: Settings, asked: BatchOrder) -> tuple[BatchCounts, dict[int, Any]]:
    _, counts = await run_batch(settings, asked, lambda _: None)
    return counts, results(asked.out)


async def booked(runtime: Runtime) -> list[dict[str, Any]]:
    return await runtime.database.fetch_all(
        "SELECT state, outcome, attempt_no, estimated_cost, actual_cost, error_kind, error,"
        " settle_source, sent_at, selected_model, response_time_ms FROM model_selections"
        " ORDER BY attempt_no, created_at"
    )


async def spent_usd(runtime: Runtime) -> Decimal:
    (row,) = await runtime.database.fetch_all(
        "SELECT spent_amount, reserved_amount FROM cost_budgets WHERE budget_type = 'global'"
    )
    assert row["reserved_amount"] == 0
    return Decimal(row["spent_amount"])


def charged_usd(simulator: RunningSimulator) -> Decimal:
    return sum((one.cost for one in simulator.charges), start=Decimal(0))


@pytest.mark.parametrize("item_costs", [False, True])
async def test_discounted_bills_settle_exactly_as_they_were_charged(
    settings: Settings,
    simulator: RunningSimulator,
    runtime: Runtime,
    tmp_path: Path,
    item_costs: bool,
) -> None:
    told(simulator, batch_item_costs=item_costs)
    counts, found = await run(settings, order(tmp_path))
    assert counts.by_status == {"completed": LINES}
    assert simulator.simulator.answers[SUBMITTED] == 1
    rows = await booked(runtime)
    assert {(row["state"], row["settle_source"]) for row in rows} == {("SETTLED", "usage")}
    assert sorted(row["actual_cost"] for row in rows) == sorted(
        one.cost for one in simulator.charges
    )
    assert await spent_usd(runtime) == charged_usd(simulator) == counts.cost_usd
    assert all(row["response_time_ms"] is None for row in rows)  # a day says nothing about speed
    assert all(one["result"]["content"] for one in found.values())
    list_usd = [one.cost * 2 for one in simulator.charges]  # half the list price was charged
    assert all(row["estimated_cost"] >= max(list_usd) for row in rows)


async def test_nothing_is_sent_before_its_row_is_committed(
    settings: Settings,
    simulator: RunningSimulator,
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told(simulator)
    seen: list[dict[str, Any]] = []
    create = type(runtime.upstream).create_batch

    async def watched(self: Any, model_id: str, items: Any) -> Any:
        seen.extend(await booked(runtime))
        return await create(self, model_id, items)

    monkeypatch.setattr(type(runtime.upstream), "create_batch", watched)
    await run(settings, order(tmp_path))
    assert [row["state"] for row in seen] == ["SENT"] * LINES


async def test_one_failed_item_is_released_and_asked_in_the_ordinary_way(
    settings: Settings, simulator: RunningSimulator, runtime: Runtime, tmp_path: Path
) -> None:
    told(simulator)
    match = FaultMatch(contains="service 3 up")
    simulator.add_fault(FaultRule(fault=Fault.OVERLOADED, match=match, times=1))
    counts, found = await run(settings, order(tmp_path))
    assert counts.by_status == {"completed": LINES}
    rows = await booked(runtime)
    assert [(row["attempt_no"], row["error_kind"]) for row in rows if row["error"]] == [
        (1, "not_batched")
    ]
    assert [row["state"] for row in rows].count("RELEASED") == 1
    assert rows[-1]["attempt_no"] == 2
    assert rows[-1]["selected_model"] == rows[0]["selected_model"]
    assert len(found[4]["result"]["attempts"]) == 2
    assert await spent_usd(runtime) == charged_usd(simulator)


@pytest.mark.parametrize("fault", [Fault.NO_ENDPOINTS, Fault.RATE_LIMITED, Fault.OUT_OF_CREDITS])
async def test_refused_batch_releases_its_holds_and_the_lines_are_asked_one_by_one(
    settings: Settings,
    simulator: RunningSimulator,
    runtime: Runtime,
    tmp_path: Path,
    fault: Fault,
) -> None:
    simulator.add_fault(FaultRule(fault=fault, match=FaultMatch(path="/batches")))
    counts, found = await run(settings, order(tmp_path))
    assert counts.by_status == {"completed": LINES}
    rows = await booked(runtime)
    assert [row["state"] for row in rows] == ["RELEASED"] * LINES + ["SETTLED"] * LINES
    assert "the upstream takes no batch" in " ".join(found[1]["result"]["reasons"])
    assert await spent_usd(runtime) == charged_usd(simulator)


async def test_batch_whose_sending_is_unknown_keeps_its_holds(
    settings: Settings, simulator: RunningSimulator, runtime: Runtime, tmp_path: Path
) -> None:
    match = FaultMatch(path="/batches")
    simulator.add_fault(FaultRule(fault=Fault.BAD_GATEWAY, match=match, times=1))
    counts, _ = await run(settings, order(tmp_path))
    assert counts.by_status == {"completed": LINES}  # by the next model
    rows = await booked(runtime)
    assert [row["state"] for row in rows] == ["UNKNOWN"] * LINES + ["SETTLED"] * LINES


async def test_expired_batch_books_what_was_answered_and_asks_the_rest_again(
    settings: Settings, simulator: RunningSimulator, runtime: Runtime, tmp_path: Path
) -> None:
    told(simulator)
    match = FaultMatch(path="/batches")
    simulator.add_fault(FaultRule(fault=Fault.BATCH_EXPIRES, match=match, at=0.5))
    counts, _ = await run(settings, order(tmp_path))
    assert counts.by_status == {"completed": LINES}
    states = [row["state"] for row in await booked(runtime)]
    assert (states.count("RELEASED"), states.count("SETTLED")) == (LINES // 2, LINES)
    assert len(simulator.charges) == LINES
    assert await spent_usd(runtime) == charged_usd(simulator)


async def test_answer_that_fails_its_check_is_paid_and_another_model_is_asked(
    settings: Settings, simulator: RunningSimulator, runtime: Runtime, tmp_path: Path
) -> None:
    told(simulator)
    await run(settings, order(tmp_path, accept={"regex": "never in any answer"}))
    rows = await booked(runtime)
    firsts = [row for row in rows if row["attempt_no"] == 1]
    assert {(row["state"], row["outcome"]) for row in firsts} == {("SETTLED", "rejected_answer")}
    assert simulator.simulator.answers[SUBMITTED] == 1
    assert await spent_usd(runtime) == charged_usd(simulator)


async def test_flow_waits_for_the_upstream_as_the_ledger_lane_does(
    settings: Settings,
    simulator: RunningSimulator,
    runtime: Runtime,
    tmp_path: Path,
    prefect_api_url: str,
) -> None:
    told(simulator)
    as_flow = settings.model_copy(update={"prefect_api_url": prefect_api_url})
    counts, _ = await run(as_flow, replace(order(tmp_path), trace="flow"))
    assert counts.by_status == {"completed": LINES}
    assert simulator.simulator.answers[SUBMITTED] == 1
    assert await spent_usd(runtime) == charged_usd(simulator)


async def test_few_lines_and_lines_with_a_deadline_go_the_ordinary_way(
    settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    lines = [line(f"Is service {number} up?") for number in range(3)]
    lines += [line(f"Is host {number} up?", deadline_s=600) for number in range(12)]
    source = written(tmp_path / "in.jsonl", lines)
    asked = BatchOrder(source, tmp_path / "out.jsonl", trace="ledger", upstream_batch=True)
    counts, _ = await run(settings, asked)
    assert counts.by_status == {"completed": 15}
    assert simulator.simulator.answers[SUBMITTED] == 0


async def test_cancelled_run_leaves_its_batch_and_the_next_start_waits_on(
    settings: Settings, simulator: RunningSimulator, runtime: Runtime, tmp_path: Path
) -> None:
    told(simulator, batch_seconds=3600)
    asked = order(tmp_path)
    first = asyncio.create_task(run(settings, asked))
    await _until_named(runtime)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert {row["state"] for row in await booked(runtime)} == {"SENT"}
    await _goes_on(settings, simulator, runtime, asked)


async def test_killed_run_sends_nothing_twice(
    settings: Settings, simulator: RunningSimulator, runtime: Runtime, tmp_path: Path
) -> None:
    told(simulator, batch_seconds=3600)
    asked = order(tmp_path)
    process = _started(settings, asked)
    await _until_named(runtime, process.poll)
    os.kill(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.communicate)
    await _goes_on(settings, simulator, runtime, asked)


async def _goes_on(
    settings: Settings, simulator: RunningSimulator, runtime: Runtime, asked: BatchOrder
) -> None:
    for batch in simulator.simulator.batches.values():
        batch.ready = batch.created
    counts, found = await run(settings, asked)
    assert counts.by_status == {"completed": LINES}
    assert sorted(found) == list(range(1, LINES + 1))
    assert simulator.simulator.answers[SUBMITTED] == 1
    assert [row["state"] for row in await booked(runtime)] == ["SETTLED"] * LINES
    assert len(simulator.charges) == LINES
    assert await spent_usd(runtime) == charged_usd(simulator) == counts.cost_usd


async def _until_named(runtime: Runtime, has_ended: Callable[[], object] = lambda: None) -> None:
    query = "SELECT count(*)::int AS n FROM upstream_batches WHERE upstream_id IS NOT NULL"
    async with asyncio.timeout(60):
        while not (await runtime.database.fetch_all(query))[0]["n"]:
            assert has_ended() is None
            await asyncio.sleep(0.02)


def _started(settings: Settings, asked: BatchOrder) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "DATABASE_URL": settings.database_dsn,
        "SWITCHYARD_SIMULATOR_URL": str(settings.switchyard_simulator_url),
        "SWITCHYARD_HOME": str(settings.home),
    }
    for name in ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "deployments.cli", "batch", str(asked.source)]
    command += ["--out", str(asked.out), "--trace", "ledger", "--upstream-batch"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
