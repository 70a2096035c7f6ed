"""Lane ledger gathers its writes: the same rows as the plain steps, in fewer commits.

The API's ledger gathers those of several requests besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from deployments.api.lanes import Lanes
from deployments.api.options import ServeOptions
from deployments.lanes import run_in_lane
from deployments.preparation import prepared_runtime
from deployments.simulator import Fault, FaultMatch, FaultRule, RunningSimulator
from models.budget import BudgetDefinition, BudgetPeriod, BudgetType
from models.errors import DatabaseFailed
from models.request import RoutingRequest
from models.result import Status
from tasks.adapters.crowd_ledger import CrowdLedger
from tasks.adapters.database import Database
from tasks.adapters.replays import replay_decisions
from tasks.adapters.runtime import Runtime, using_runtime
from tasks.adapters.settings import Settings

pytestmark = pytest.mark.anyio
CLOCKED = {
    "reconcile_after",
    "id",
    "created_at",
    "finished_at",
    "sent_at",
    "settled_at",
    "lease_expires_at",
}
OWN = {"decision_id", "idempotency_key", "token", "generation_id", "response_time_ms"}
VARYING = CLOCKED | OWN | {"snapshot", "result", "plan", "budget_ids"}


def _request(**fields: Any) -> RoutingRequest:
    return RoutingRequest.model_validate({"prompt": "Is the payment service up?"} | fields)


@asynccontextmanager
async def crowded_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """The runtime of an API process."""
    async with prepared_runtime(settings) as opened:
        crowded = replace(opened, ledger=CrowdLedger(opened.database))
        with using_runtime(crowded):
            yield crowded


def _lanes() -> Lanes:
    return Lanes(ServeOptions(lane="ledger"), prefect_known=False)


async def _rows(database: Database, decision_id: Any) -> tuple[dict[str, Any], list[Any]]:
    query = "SELECT * FROM routing_decisions WHERE id = %s"
    decision = await database.fetch_one(query, (decision_id,))
    attempts = await database.fetch_all(
        "SELECT * FROM model_selections WHERE decision_id = %s ORDER BY attempt_no", (decision_id,)
    )
    assert decision is not None
    fixed = [{k: v for k, v in row.items() if k not in VARYING} for row in attempts]
    return {k: v for k, v in decision.items() if k not in VARYING}, fixed


@pytest.mark.parametrize("open_runtime", [prepared_runtime, crowded_runtime])
@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, None),
        ({"task_id": "00000000-0000-4000-8000-000000000001", "worker_id": "w"}, None),
        ({"max_cost_usd": "0.0000001"}, None),
        ({"max_cost_usd": "0.004"}, None),
        ({"policy": "ops"}, Fault.UNAVAILABLE),
        ({"policy": "ops"}, Fault.NO_USAGE),
        ({"policy": "ops"}, Fault.ERROR_IN_200),
        ({"accept": {"regex": "never said"}}, None),
        ({"deadline_s": 30}, None),
    ],
)
async def test_gathered_steps_leave_the_rows_of_the_plain_ones(
    settings: Settings,
    simulator: RunningSimulator,
    fields: dict[str, Any],
    fault: Fault | None,
    open_runtime: Any,
) -> None:
    async with open_runtime(settings) as opened:
        results = []
        for run in (_lanes().run, run_in_lane):
            simulator.clear_faults()
            if fault is not None:
                simulator.add_fault(FaultRule(match=FaultMatch(), fault=fault, times=1))
            results.append(await run(_request(**fields), "ledger"))
        gathered, plain = [await _rows(opened.database, result.decision_id) for result in results]
        for row in (gathered[0], plain[0]):
            for name in ("request_hash", "deadline_at"):
                row.pop(name)
        assert gathered == plain
        assert results[0].status == results[1].status
        assert results[0].attempts[0:] == [] or results[0].cost_usd == results[1].cost_usd
        await _demand_clean_books(opened)


async def _demand_clean_books(opened: Runtime) -> None:
    report = await replay_decisions(opened, None)
    assert report.identical == report.replayed > 0
    assert (await opened.ledger.audit()).is_clean


async def test_nothing_is_sent_when_the_decision_cannot_be_written(
    settings: Settings, simulator: RunningSimulator
) -> None:
    async with crowded_runtime(settings) as opened:
        await opened.database.execute(
            "ALTER TABLE routing_decisions ADD CONSTRAINT never CHECK (trace <> 'ledger')"
        )
        with pytest.raises(DatabaseFailed):
            await _lanes().run(_request(), "ledger")
        held = await opened.ledger.budgets()
        assert all(state.reserved_amount == 0 for state in held)
    assert simulator.charges == []


async def test_a_budget_is_never_passed_by_requests_that_come_together(
    settings: Settings, simulator: RunningSimulator
) -> None:
    async with crowded_runtime(settings) as opened:
        await opened.ledger.set_budget(
            BudgetDefinition(
                budget_type=BudgetType.GLOBAL,
                budget_period=BudgetPeriod.DAILY,
                budget_amount="0.01",  # type: ignore[arg-type]  # pydantic reads it
            )
        )
        lanes = _lanes()
        results = await asyncio.gather(*(lanes.run(_request(), "ledger") for _ in range(40)))
        spent = sum(charge.cost for charge in simulator.charges)
        (state,) = await opened.ledger.budgets()
        assert state.spent_amount == spent <= state.budget_amount
        assert state.reserved_amount == 0
        assert {result.status for result in results} <= {Status.COMPLETED, Status.REJECTED}
        await _demand_clean_books(opened)


async def test_a_result_that_cannot_be_stored_keeps_no_bill_from_being_booked(
    settings: Settings, simulator: RunningSimulator
) -> None:
    async with crowded_runtime(settings) as opened:
        await opened.database.execute(
            "ALTER TABLE routing_decisions ADD CONSTRAINT never CHECK (status <> 'completed')"
        )
        with pytest.raises(DatabaseFailed):
            await _lanes().run(_request(), "ledger")
        row = await opened.database.fetch_one("SELECT state, actual_cost FROM model_selections")
        assert row == {"state": "SETTLED", "actual_cost": simulator.charges[0].cost}
        (state,) = await opened.ledger.budgets()
        assert (state.spent_amount, state.reserved_amount) == (simulator.charges[0].cost, 0)


async def test_numbers_of_any_size_pass_through(
    settings: Settings, simulator: RunningSimulator
) -> None:
    async with crowded_runtime(settings):
        request = _request(extra_body={"mine": 2**70}, metadata={"big": -(2**65)})
        assert (await _lanes().run(request, "ledger")).status is Status.COMPLETED


async def test_requests_that_come_together_share_statements_and_keep_rows_of_their_own(
    settings: Settings, simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    fetch_all = Database.fetch_all

    async def noted(database: Database, query: Any, parameters: Any = ()) -> Any:
        statements.append(query)
        return await fetch_all(database, query, parameters)

    async with crowded_runtime(settings) as opened:
        lanes = _lanes()
        await lanes.run(_request(), "ledger")
        monkeypatch.setattr(Database, "fetch_all", noted)
        asked = [_request(prompt=f"What is {n} and {n}?", worker_id="w") for n in range(30)]
        results = await asyncio.gather(*(lanes.run(request, "ledger") for request in asked))
        monkeypatch.undo()
        shared = ("head_room", "reserve", "settle")
        money = [one for one in statements if any(name in one for name in shared)]
        assert len(money) < 30  # 90 by themselves
        for result in results:
            decision, (attempt,) = await _rows(opened.database, result.decision_id)
            assert decision["status"] == "completed"
            assert attempt["actual_cost"] == result.cost_usd
        await _demand_clean_books(opened)


async def test_of_requests_that_come_together_a_bad_one_fails_alone(
    settings: Settings, simulator: RunningSimulator
) -> None:
    async with crowded_runtime(settings) as opened:
        await opened.database.execute(
            "ALTER TABLE routing_decisions ADD CONSTRAINT never CHECK (worker_id <> 'bad')"
        )
        workers = ["good", "bad", "good", "good"]
        found = await asyncio.gather(
            *(_lanes().run(_request(worker_id=worker), "ledger") for worker in workers),
            return_exceptions=True,
        )
        failed = [isinstance(one, DatabaseFailed) for one in found]
        assert failed == [False, True, False, False]
        assert len(simulator.charges) == 3
        await _demand_clean_books(opened)


@pytest.mark.parametrize(("others", "statement"), [(0, "ledger.reserve("), (3, "reserve_many")])
async def test_hold_of_a_request_that_is_cancelled_is_released(
    settings: Settings, simulator: RunningSimulator, others: int, statement: str
) -> None:
    async with crowded_runtime(settings) as opened:
        reached, go_on = asyncio.Event(), asyncio.Event()
        unhindered = opened.ledger._calls.all

        async def slow(query: Any, parameters: Any = ()) -> Any:
            if statement in query:
                reached.set()
                await go_on.wait()
            return await unhindered(query, parameters)

        opened.ledger._calls.all = slow  # type: ignore[method-assign]
        lanes = _lanes()
        asked = [asyncio.create_task(lanes.run(_request(), "ledger")) for _ in range(others + 1)]
        await asyncio.wait_for(reached.wait(), 20)
        asked[-1].cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asked[-1]
        results = await asyncio.gather(*asked[:-1])
        rows = await opened.database.fetch_all("SELECT state, outcome FROM model_selections")
        lost = [row for row in rows if row["state"] != "SETTLED"]
        assert lost == [{"state": "RELEASED", "outcome": "cancelled"}]
    assert [result.status for result in results] == [Status.COMPLETED] * others
    assert len(simulator.charges) == others


async def test_a_look_at_budgets_shows_each_request_its_own_limit_only(settings: Settings) -> None:
    async with crowded_runtime(settings) as opened:
        lanes = _lanes()
        results = [await lanes.run(_request(max_cost_usd="0.01"), "ledger") for _ in range(2)]
        ids = [result.decision_id for result in results]
        looks = await asyncio.gather(
            *(opened.ledger.head_room(policy="normal", decision_id=one) for one in (*ids, None))
        )
        own = [{s.scope_key for s in look if "decision:" in s.scope_key} for look in looks]
        assert own == [{f"decision:{ids[0]}"}, {f"decision:{ids[1]}"}, set()]
