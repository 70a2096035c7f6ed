"""A changed policy over decisions that were really made: cost, budgets, and what is unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models.errors import InvalidPolicy
from models.policy import Policy
from tasks.adapters.backtests import backtest
from tasks.adapters.store.feedback import save_feedback
from tasks.adapters.store.policies import apply_policies, read_policy
from tests.bench import Bench

PROMPT = "Find the off-by-one and fix it."


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


async def report_of(bench: Bench, *policies: Policy) -> Any:
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    return await backtest(bench.runtime.database, policies, now - hour, now + hour)


async def code_policy(bench: Bench, **changes: Any) -> Policy:
    policy = await read_policy(bench.runtime.database, "code")
    return Policy.model_validate(policy.model_dump(mode="json") | changes)


def reversed_models(policy: Policy) -> list[dict[str, Any]]:
    ids = [entry.model_id for entry in reversed(policy.ordered_models())]
    return [{"model": model_id, "priority": n} for n, model_id in enumerate(ids, start=1)]


async def test_unchanged_policy_costs_and_brings_what_was_recorded(bench: Bench):
    results = [await bench.route(PROMPT) for _ in range(3)]
    report = await report_of(bench, await code_policy(bench))
    spent = sum((result.cost_usd for result in results), Decimal(0))
    assert (report.decisions, report.affected, report.changed) == (3, 0, 0)
    assert report.cost.recorded_usd == report.cost.simulated_usd == spent == bench.true_spend
    assert (report.cost.known_share, report.cost.estimated_usd) == (1.0, 0)
    assert report.success.estimate.value == report.success.recorded == 1.0
    assert report.success.answered_share == 1.0
    (course,) = report.budgets
    assert (course.budget, course.recorded_usd, course.simulated_usd) == (
        "global daily",
        spent,
        spent,
    )


async def test_another_first_model_is_estimated_and_said_to_be_unanswered(bench: Bench):
    recorded = [await bench.route(PROMPT) for _ in range(2)]
    policy = await code_policy(bench)
    last = policy.ordered_models()[-1].model_id
    report = await report_of(bench, await code_policy(bench, models=reversed_models(policy)))
    assert (report.affected, report.changed) == (2, 2)
    assert report.cost.known_usd == 0
    assert report.cost.simulated_usd == report.cost.estimated_usd > 0
    assert report.success.model_based_share == 1.0
    assert report.success.effective_sample == 0.0
    assert report.success.estimate.high - report.success.estimate.low > 0.1
    (move,) = report.moves
    assert (move.from_model, move.to_model, move.decisions) == (recorded[0].model, last, 2)


async def test_policy_that_claims_a_type_takes_its_decisions(bench: Bench):
    await bench.route(PROMPT)
    await bench.route("Is it up?", task_type="health_check")
    fixer = Policy.model_validate(
        (await code_policy(bench)).stored() | {"name": "fixer", "task_types": ["fix_bug"]}
    )
    with pytest.raises(InvalidPolicy, match="claimed by 2 active policies"):
        await report_of(bench, fixer)
    types = [name for name in (await code_policy(bench)).task_types if name != "fix_bug"]
    report = await report_of(bench, fixer, await code_policy(bench, task_types=types))
    assert [policy.change for policy in report.policies] == ["created", "updated"]
    assert (report.decisions, report.affected, report.changed) == (2, 1, 0)
    assert report.cost.known_share == 1.0


async def test_request_that_named_its_policy_stays_with_it(bench: Bench):
    await bench.route(PROMPT, policy="code")
    types = [name for name in (await code_policy(bench)).task_types if name != "fix_bug"]
    normal = await read_policy(bench.runtime.database, "normal")
    taker = Policy.model_validate(normal.model_dump() | {"task_types": ["fix_bug"]})
    report = await report_of(bench, taker, await code_policy(bench, task_types=types))
    assert report.affected == 1  # of `code`, which is changed, and keeps it
    assert report.changed == 0


async def test_stricter_limit_refuses_and_spends_nothing(bench: Bench):
    await bench.route(PROMPT)
    report = await report_of(bench, await code_policy(bench, max_cost_per_task="0.000001"))
    assert (report.refused_recorded, report.refused_simulated) == (0, 1)
    assert report.cost.simulated_usd == 0
    assert report.success.estimate.value == 0.0
    assert report.success.model_based_share == 0.0
    assert report.budgets[0].refused == 1


async def test_feedback_decides_what_was_a_success(bench: Bench):
    result = await bench.route(PROMPT)
    await save_feedback(
        bench.runtime.database,
        result.decision_id,
        attempt_no=None,
        score=Decimal("0.2"),
        given_by="test",
    )
    report = await report_of(bench, await code_policy(bench))
    assert report.success.recorded == report.success.estimate.value == 0.0


async def test_failover_keeps_its_recorded_course_and_bills(bench: Bench):
    bench.fail("unavailable")
    result = await bench.route(PROMPT)
    assert len(result.attempts) == 2
    report = await report_of(bench, await code_policy(bench, description="the same, in new words"))
    assert (report.affected, report.changed) == (1, 0)
    assert report.cost.known_share == 1.0
    assert report.success.estimate.value == 1.0


async def test_what_says_nothing_is_left_out_by_name(bench: Bench):
    await bench.route(PROMPT)
    await bench.route(PROMPT, approval_above_usd="0.0000001")
    report = await report_of(bench, await code_policy(bench))
    assert report.left_out == {"not ended": 1}
    assert report.decisions == 1


async def test_exploring_policy_leaves_a_record_that_answers_for_other_models(bench: Bench):
    exploring = await code_policy(bench, exploration=0.5)
    await apply_policies(bench.runtime.database, [exploring], source="person", reason="test")
    results = [await bench.route(PROMPT) for _ in range(16)]
    asked = {result.model for result in results}
    assert len(asked) > 1  # 1 in 65,536 that chance takes the usual model 16 times
    usual = exploring.ordered_models()[0].model_id
    report = await report_of(bench, await code_policy(bench, exploration=0.0))
    assert report.affected == 16
    assert report.success.model_based_share == 0.0
    taken = sum(result.model == usual for result in results)
    assert report.success.effective_sample == pytest.approx(taken)
    assert report.cost.known_share == pytest.approx(taken / 16)
