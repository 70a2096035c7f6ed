"""Escalation in whole flow runs and in batches: the same sentence, the same books."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deployments.batches import BatchOrder, run_batch
from deployments.simulator import RunningSimulator
from models.policy import parse_policy
from tasks.adapters.runtime import Runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store.policies import apply_policies
from tests.flows.test_route_request import artifact_of, route, task_runs_of
from tests.sums import AGREED, BY_CHECK, CHEAP, DEAR, MIDDLE, erring_simulator, sums_policy

pytestmark = pytest.mark.anyio


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    with erring_simulator(tmp_path, {CHEAP: 0.0, MIDDLE: 1.0, DEAR: 1.0}) as running:
        yield running


@pytest.fixture
async def sums(runtime: Runtime) -> Runtime:
    policy = parse_policy(sums_policy(BY_CHECK, AGREED, escalation_check="agreement"))
    await apply_policies(runtime.database, [policy], source="person", reason="test")
    return runtime


def line(number: int, **fields: Any) -> dict[str, Any]:
    prompt = f"What is {number} + 25? Answer with the number only."
    return {"prompt": prompt, "task_type": "sums"} | fields


async def test_flow_run_asks_two_at_once_then_the_third_and_explains_the_chain(
    prefect_api_url: str, sums: Runtime, simulator: RunningSimulator
) -> None:
    result = await route(prompt="What is 17 + 25?", task_type="sums")
    assert (result.model, result.content) == (DEAR, "42")
    assert result.cost_usd == sum((one.true_cost for one in simulator.charges), Decimal(0))
    runs = await task_runs_of(result, at_least=5)
    assert [run.name for run in runs if run.name.startswith("execute_request")] == [
        f"execute_request 1: {CHEAP}",
        f"execute_request 2: {MIDDLE}",
        f"execute_request 3: {DEAR}",
    ]
    page = (await artifact_of(result)).replace("\\", "")
    assert f"followed: {CHEAP} and {MIDDLE} at once, {DEAR} where they differ" in page
    assert f"step 1, {CHEAP}: rejected_answer" in page


async def test_lines_of_a_batch_escalate_each_by_itself(
    settings: Settings, sums: Runtime, simulator: RunningSimulator, tmp_path: Path
) -> None:
    checked = [line(n, accept={"regex": f"^{n + 25}$"}) for n in range(6)]
    lines = [*checked, *(line(n) for n in range(100, 104))]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    _, counts = await run_batch(settings, BatchOrder(source, out, trace="ledger"), lambda _: None)
    assert counts.by_status == {"completed": 10}
    results = [json.loads(text)["result"] for text in out.read_text().splitlines()]
    attempts = sorted(len(one["attempts"]) for one in results)
    assert attempts == [2] * 6 + [3] * 4
    assert {one["model"] for one in results} == {DEAR}
    billed = sum(Decimal(one["cost_usd"]) for one in results)
    assert billed == sum(one.true_cost for one in simulator.charges) == counts.cost_usd
