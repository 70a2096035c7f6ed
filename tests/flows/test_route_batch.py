"""Batches over real HTTP, PostgreSQL and, where it says flow, a real Prefect server."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deployments.batches import BatchOrder, run_batch
from deployments.heap import settled_heap
from deployments.simulator import Fault, FaultMatch, FaultRule, RunningSimulator
from models.batch import BatchCounts
from models.budget import BudgetDefinition
from models.errors import InvalidRequest
from models.policy import parse_policy
from models.rate_limit import LimitOrder
from tasks.adapters.database import Database
from tasks.adapters.explained import explained_decision
from tasks.adapters.ledger import Ledger
from tasks.adapters.replays import replay_decisions
from tasks.adapters.runtime import Runtime, open_runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store.limits import set_limit
from tasks.adapters.store.policies import apply_policies, read_policy

pytestmark = pytest.mark.anyio


def line(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"prompt": prompt, "task_type": "simple_query", "worker_id": "w1"} | fields


def written(path: Path, lines: Sequence[dict[str, Any] | str]) -> Path:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def results(path: Path) -> dict[int, dict[str, Any]]:
    documents = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    assert len({document["line"] for document in documents}) == len(documents)
    return {document["line"]: document for document in documents}


async def run(
    settings: Settings, folder: Path, lines: Sequence[dict[str, Any] | str], **options: Any
) -> tuple[BatchCounts, dict[int, dict[str, Any]]]:
    source = written(folder / "in.jsonl", lines)
    order = BatchOrder(source, folder / "out.jsonl", **{"trace": "ledger", **options})
    _, counts = await run_batch(settings, order, lambda _: None)
    return counts, results(order.out)


async def test_batch_asks_each_distinct_prompt_once(
    settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    lines = [line(f"Is service {number % 7} up?", metadata={"row": number}) for number in range(20)]
    counts, found = await run(settings, tmp_path, lines)
    assert counts.by_status == {"completed": 20}
    assert counts.duplicates == 13
    assert len(simulator.charges) == 7
    firsts, copies = found[1]["result"], found[8]["result"]
    assert copies["cached"] and not firsts["cached"]
    assert (copies["content"], copies["cost_usd"]) == (firsts["content"], "0")
    assert copies["decision_id"] != firsts["decision_id"]
    assert found[20]["metadata"] == {"row": 19}
    paid = sum(float(one["result"]["cost_usd"]) for one in found.values())
    assert paid == pytest.approx(float(counts.cost_usd))


async def test_batch_makes_one_choice_a_group_and_every_line_its_decision(
    settings: Settings, runtime: Runtime, tmp_path: Path
) -> None:
    lines = [line(f"Is service {number} up?") for number in range(12)]
    lines += [line(f"Fix bug number {number}.", task_type="fix_bug") for number in range(4)]
    _, found = await run(settings, tmp_path, lines)
    rows = await runtime.database.fetch_all(
        "SELECT id, planned_with, snapshot IS NULL AS shares FROM routing_decisions"
    )
    assert len(rows) == 16
    assert sum(not row["shares"] for row in rows) == 2
    assert len({row["planned_with"] for row in rows if row["planned_with"]}) == 2
    models = {one["result"]["model"] for number, one in found.items() if number <= 12}
    assert len(models) == 1
    follower = UUID(found[2]["result"]["decision_id"])
    explained = await explained_decision(runtime, follower)
    assert explained["snapshot"]["policy"]["name"] == "ops"
    assert "chosen for its group" in " ".join(explained["reasons"])
    assert (await replay_decisions(runtime, follower)).identical == 1
    attempts = await runtime.database.fetch_all("SELECT state FROM model_selections")
    assert [row["state"] for row in attempts] == ["SETTLED"] * 16
    assert (await Ledger(runtime.database).audit()).is_clean


async def test_bad_lines_are_reported_with_their_number_and_stop_nobody(
    settings: Settings, tmp_path: Path
) -> None:
    lines = [line("Is it up?"), '{"prompt', line("Is it down?", policy="nope"), "", line("Fine?")]
    counts, found = await run(settings, tmp_path, lines)
    assert counts.by_status == {"completed": 2, "invalid": 2}
    assert counts.exit_code() == 2
    assert found[2]["error"].startswith("not JSON")
    assert "there is no policy 'nope'" in found[3]["error"]
    assert found[5]["status"] == "completed"


async def test_batch_started_again_pays_nothing_and_mends_its_file(
    settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    lines = [line(f"Is service {number} up?") for number in range(10)]
    _, before = await run(settings, tmp_path, lines)
    out = tmp_path / "out.jsonl"
    texts = out.read_text(encoding="utf-8").splitlines(keepends=True)
    out.write_text("".join(texts[:5]) + texts[5][:40], encoding="utf-8")  # a torn line
    counts, after = await run(settings, tmp_path, lines)
    assert counts.by_status == {"completed": 10}
    assert after == before
    assert len(simulator.charges) == 10


async def test_batch_with_again_is_asked_and_paid_again(
    settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    await run(settings, tmp_path, [line("Is it up?")])
    (tmp_path / "out.jsonl").unlink()
    await run(settings, tmp_path, [line("Is it up?")], anew=True)
    assert len(simulator.charges) == 2


async def test_file_with_something_else_is_not_touched(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text('{"my": "data"}\n', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="something else"):
        await run(settings, tmp_path, [line("Is it up?")])
    assert out.read_text(encoding="utf-8") == '{"my": "data"}\n'


async def test_line_fails_over_as_a_single_request_does(
    settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    broken = FaultMatch(model="openai/gpt-3.5-turbo", contains="service 3 ")
    simulator.add_fault(FaultRule(match=broken, fault=Fault.UNAVAILABLE))
    lines = [line(f"Is service {number} up?") for number in range(6)]
    counts, found = await run(settings, tmp_path, lines)
    assert counts.by_status == {"completed": 6}
    outcomes = [attempt["outcome"] for attempt in found[4]["result"]["attempts"]]
    assert outcomes == ["failed", "ok"]


async def test_group_chooses_anew_when_its_model_keeps_failing(
    settings: Settings, simulator: RunningSimulator, runtime: Runtime, tmp_path: Path
) -> None:
    simulator.add_fault(
        FaultRule(match=FaultMatch(model="openai/gpt-3.5-turbo"), fault=Fault.UNAVAILABLE)
    )
    lines = [line(f"Is service {number} up?") for number in range(30)]
    counts, found = await run(settings, tmp_path, lines, concurrency=2)
    assert counts.by_status == {"completed": 30}
    assert len(found[1]["result"]["attempts"]) == 2
    assert len(found[30]["result"]["attempts"]) == 1
    rows = await runtime.database.fetch_all(
        "SELECT id FROM routing_decisions WHERE snapshot IS NOT NULL"
    )
    assert len(rows) >= 2


async def test_batch_stays_inside_its_own_budget(
    settings: Settings, runtime: Runtime, tmp_path: Path
) -> None:
    lines = [line(f"Is service {number} up?", max_tokens=100) for number in range(60)]
    counts, _ = await run(settings, tmp_path, lines, max_cost_usd=Decimal("0.0004"))
    completed = counts.by_status["completed"]
    assert completed + counts.by_status["rejected"] == 60
    assert 0 < completed < 60
    assert counts.exit_code() == 3
    row = await runtime.database.fetch_one(
        "SELECT budget_amount, spent_amount, reserved_amount FROM cost_budgets"
        " WHERE budget_type = 'task' AND budget_period = 'once' AND definition_id IS NOT NULL"
    )
    assert row is not None
    assert row["spent_amount"] <= row["budget_amount"]
    assert row["reserved_amount"] == 0
    # What is left does not take another line's worst case: holds of siblings refused nobody.
    assert row["budget_amount"] - row["spent_amount"] < Decimal("0.00005")


async def test_lines_after_the_deadline_fail_and_cost_nothing(
    settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    lines = [line(f"Is service {number} up?") for number in range(5)]
    counts, found = await run(settings, tmp_path, lines, deadline_s=0.000001)
    assert counts.by_status == {"failed": 5}
    assert "the deadline has passed" in found[1]["result"]["reasons"][-1]
    assert len(simulator.charges) == 0
    again, _ = await run(settings, tmp_path, lines)
    assert again.by_status == {"completed": 5}


async def test_line_waits_for_its_turn_no_longer_than_its_deadline(
    settings: Settings, runtime: Runtime, simulator: RunningSimulator, tmp_path: Path
) -> None:
    limit = LimitOrder(model="*", requests=1, period_s=300)
    await set_limit(runtime.database, runtime.limits.account, limit)
    files = [tmp_path / "first", tmp_path / "late"]
    for folder in files:
        folder.mkdir()
    _, first = await run(settings, files[0], [line("Is it up?")])
    _, late = await run(settings, files[1], [line("Since when?", deadline_s=60)])
    assert (first[1]["status"], late[1]["status"]) == ("completed", "rejected")
    assert len(simulator.charges) == 1


async def test_refused_lines_are_tried_again_when_there_is_money(
    settings: Settings, runtime: Runtime, tmp_path: Path
) -> None:
    await _set_global(runtime.database, "0")
    lines = [line(f"Is service {number} up?") for number in range(5)]
    counts, _ = await run(settings, tmp_path, lines)
    assert counts.by_status == {"rejected": 5}
    await _set_global(runtime.database, "5")
    counts, found = await run(settings, tmp_path, lines)
    assert counts.by_status == {"completed": 5}
    assert len(found) == 5


async def _set_global(database: Database, amount: str) -> None:
    definition = {"budget_type": "global", "budget_period": "daily", "budget_amount": amount}
    await Ledger(database).set_budget(BudgetDefinition.model_validate(definition))


async def test_line_with_a_known_key_gets_the_answer_it_had(
    settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    keyed = line("Is it up?", idempotency_key="health-1")
    _, found = await run(settings, tmp_path, [keyed, keyed, line("Is it up?")])
    assert len(simulator.charges) == 2
    assert found[1]["result"]["content"] == found[2]["result"]["content"]
    assert found[2]["result"]["cached"]


async def test_key_that_was_used_for_something_else_is_a_bad_line(
    settings: Settings, tmp_path: Path
) -> None:
    lines = [line("Is it up?", idempotency_key="k"), line("Is it down?", idempotency_key="k")]
    counts, found = await run(settings, tmp_path, lines)
    assert counts.by_status == {"completed": 1, "invalid": 1}
    assert "already used for a different request" in found[2]["error"]


@pytest.mark.usefixtures("prefect_api_url")
async def test_batch_is_one_flow_run_with_a_task_for_each_chunk(
    settings: Settings, tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    lines = [line(f"Is service {number} up?") for number in range(260)]
    async with open_runtime(settings):
        counts, found = await run(settings, tmp_path, lines, trace="flow")
    assert counts.by_status == {"completed": 260}
    async with get_client() as client:
        wanted = FlowFilter(name=FlowFilterName(any_=["route-batch"]))
        runs = await client.read_flow_runs(flow_filter=wanted)
        artifacts = await client.read_artifacts()
    mine = [one for one in runs if str(one.id) == found[1]["result"]["flow_run_id"]]
    assert len(mine) == 1
    assert "260 of 260 lines" in str(mine[0].state and mine[0].state.message)
    progress = [one for one in artifacts if one.flow_run_id == mine[0].id and one.key == "batch"]
    assert [(one.type, one.data) for one in progress] == [("progress", 100.0)]


async def cached_ops(runtime: Runtime) -> None:
    policy = await read_policy(runtime.database, "ops")
    document = policy.stored() | {"cache": {"ttl_s": 600}}
    await apply_policies(
        runtime.database, [parse_policy(document)], source="person", reason="a cache"
    )


async def test_lines_of_another_batch_are_answered_from_the_cache(
    runtime: Runtime, settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    await cached_ops(runtime)
    lines = [line(f"Is service {number % 5} up?") for number in range(12)]
    await run(settings, tmp_path, lines)
    assert len(simulator.charges) == 5
    lines = [line(f"Is service {number} up?") for number in range(8)]
    (tmp_path / "again").mkdir()
    counts, found = await run(settings, tmp_path / "again", lines)
    assert counts.by_status == {"completed": 8}
    assert len(simulator.charges) == 8  # three new prompts
    cached = [found[number]["result"]["cached"] for number in sorted(found)]
    assert cached == [True] * 5 + [False] * 3
    rows = await runtime.database.fetch_all(
        "SELECT reuse, count(*) AS n FROM routing_decisions GROUP BY 1 ORDER BY 1"
    )
    assert [(row["reuse"], row["n"]) for row in rows] == [
        ("cache", 5),
        ("duplicate", 7),
        (None, 8),
    ]
    report = await replay_decisions(runtime, None)
    assert report.identical == report.replayed


async def test_racing_batches_ask_each_prompt_once(
    runtime: Runtime, settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    await cached_ops(runtime)
    folders = [tmp_path / "one", tmp_path / "two"]
    asked = []
    for number, folder in enumerate(folders):
        folder.mkdir()
        lines = [line(f"Is service {n} up?", metadata={"batch": number}) for n in range(30)]
        asked.append(run(settings, folder, lines))
    for counts, _ in await asyncio.gather(*asked):
        assert counts.by_status == {"completed": 30}
    assert len(simulator.charges) == 30


def test_heap_is_settled_only_while_a_batch_runs() -> None:
    with settled_heap():
        assert gc.get_freeze_count() > 10_000
    assert gc.get_freeze_count() == 0
