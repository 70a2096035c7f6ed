"""Every row of the seed specification, by its own words; the deep tests are in their own folders.

Where a name here and the seed differ, docs/design.md says why.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from models.classification import classify
from models.default_policies import default_policies
from models.errors import InvalidPolicy
from models.policy import parse_policy, policy_for
from models.request import RoutingRequest
from tasks.adapters.store.costs import cost_report
from tasks.adapters.store.policies import apply_policies, read_policies
from tasks.adapters.store.reports import Span, performance_report

pytestmark = pytest.mark.anyio

SEED_POLICY = {
    "name": "normal",
    "description": "Balanced cost and performance",
    "models": [
        {"provider": "openai", "model": "gpt-4o-mini", "priority": 1},
        {"provider": "anthropic", "model": "claude-3-5-sonnet", "priority": 2},
    ],
    "max_cost_per_task": "0.10",
    "max_tokens": 4000,
    "temperature": 0.7,
}


async def columns_of(bench, table: str) -> set[str]:
    rows = await bench.runtime.database.fetch_all(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s", (table,)
    )
    return {row["column_name"] for row in rows}


async def span_of(bench) -> Span:
    rows = await bench.runtime.database.fetch_all(
        "SELECT now() - interval '1 hour' AS since, now() + interval '1 hour' AS until"
    )
    return Span(rows[0]["since"], rows[0]["until"])


async def stored_policy(bench, name: str):
    (policy,) = await read_policies(bench.runtime.database, name)
    return policy


async def set_budget(bench, scope: str, period: str, amount: str, **fields: object) -> None:
    from models.budget import parse_budget

    budget_type, _, key = scope.partition(":")
    document = {"budget_type": budget_type, "budget_period": period, "budget_amount": amount}
    await bench.runtime.ledger.set_budget(
        parse_budget(document | {"scope_key": key or "*"} | fields)
    )


# The four default policies: models, most per task, use case


async def test_default_policy_normal_is_balanced(bench):
    policy = await stored_policy(bench, "normal")
    assert policy.ordered_models()[0].model_id == "openai/gpt-4o-mini"
    assert policy.ordered_models()[1].model_id.startswith("anthropic/claude-sonnet")
    assert policy.max_cost_per_task == Decimal("0.10")


async def test_default_policy_deep_research_has_maximum_intelligence(bench):
    policy = await stored_policy(bench, "deep_research")
    assert policy.ordered_models()[0].model_id == "openai/gpt-4o"
    assert policy.ordered_models()[1].model_id.startswith("anthropic/claude-opus")
    assert policy.max_cost_per_task == Decimal("1.00")


async def test_default_policy_code_is_specialised(bench):
    policy = await stored_policy(bench, "code")
    assert policy.ordered_models()[0].model_id == "openai/gpt-4o"
    assert policy.ordered_models()[1].model_id.startswith("anthropic/claude-sonnet")
    assert policy.max_cost_per_task == Decimal("0.50")


async def test_default_policy_ops_is_ultra_cheap(bench):
    policy = await stored_policy(bench, "ops")
    assert policy.ordered_models()[0].model_id == "openai/gpt-3.5-turbo"
    assert "haiku" in policy.ordered_models()[1].model_id
    assert policy.max_cost_per_task == Decimal("0.01")


# Component 1, routing policies


def test_component_1_takes_the_policy_structure_of_the_seed():
    policy = parse_policy(SEED_POLICY)
    assert policy.ordered_models()[0].model_id == "openai/gpt-4o-mini"
    assert (policy.max_tokens, policy.temperature) == (4000, 0.7)


def test_component_1_refuses_a_broken_policy_with_every_problem_named():
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy({"name": "x", "models": [], "max_cost_per_task": "-1", "colour": "red"})
    assert len(refused.value.problems) >= 3


async def test_component_1_never_overwrites_what_a_person_edited(bench):
    from tasks.adapters.store.policies import seed_policies

    policy = (await stored_policy(bench, "ops")).model_copy(update={"max_tokens": 55})
    await apply_policies(bench.runtime.database, [policy], source="person", reason="test")
    assert await seed_policies(bench.runtime.database, default_policies(())) == []
    assert (await stored_policy(bench, "ops")).max_tokens == 55


# Component 2, model selector: the task type mapping and the algorithm

MAPPING = [
    ("investigate_error", "code"),
    ("deploy_code", "code"),
    ("analyze_logs", "normal"),
    ("fix_bug", "code"),
    ("simple_query", "ops"),
]


@pytest.mark.parametrize(("task_type", "policy"), MAPPING)
async def test_component_2_task_type_mapping(bench, task_type, policy):
    policies = await read_policies(bench.runtime.database)
    assert policy_for(task_type, policies, None).policy.name == policy


async def test_component_2_selects_the_highest_priority_available_model(bench):
    assert (await bench.route()).model == "openai/gpt-4o"
    await bench.runtime.database.execute(
        "UPDATE model_catalogue SET suspended_reason = 'gone' WHERE model_id = 'openai/gpt-4o'"
    )
    assert (await bench.route("And now?")).model == "anthropic/claude-sonnet-5.5"


async def test_component_2_tracks_each_selection_for_cost_monitoring(bench):
    result = await bench.route()
    (row,) = await bench.rows(result.decision_id)
    assert (row["policy_name"], row["selected_model"]) == ("code", result.model)
    assert (row["estimated_cost"] > row["actual_cost"] > 0, row["success"]) == (True, True)


# Component 3, cost tracker


@pytest.mark.parametrize(
    ("group", "key"),
    [
        ("model", "openai/gpt-4o"),
        ("policy", "code"),
        ("worker", "w1"),
        ("task_type", "fix_bug"),
    ],
)
async def test_component_3_tracks_cost_per(bench, group, key):
    await bench.route()
    document = await cost_report(
        bench.runtime.database, await span_of(bench), group, after=None, limit=10
    )
    assert [(g["key"], g["cost_usd"]) for g in document["groups"]] == [(key, bench.true_spend)]


@pytest.mark.parametrize("period", ["day", "week", "month", "task"])
async def test_component_3_totals_cost_by(bench, period):
    await bench.route(task_id="6f1b1f0e-1111-4222-8333-444455556666")
    document = await cost_report(
        bench.runtime.database, await span_of(bench), period, after=None, limit=10
    )
    assert document["total_cost_usd"] == bench.true_spend
    assert len(document["groups"]) == 1


async def test_component_3_enforces_the_daily_budget_limit(bench):
    await set_budget(bench, "global", "daily", "0.000001")
    result = await bench.route()
    assert (result.status, bench.asked) == ("rejected", 0)


async def test_component_3_enforces_the_budget_limit_per_task(bench):
    result = await bench.route(max_cost_usd="0.000001")
    assert (result.status, bench.asked) == ("rejected", 0)


async def test_component_3_alerts_when_a_limit_comes_near(bench):
    await bench.route()
    amount = str(bench.true_spend * 2)
    await set_budget(bench, "global", "daily", "5", alert_threshold="0.0001")
    await bench.route("One more.")
    states = await bench.runtime.ledger.budgets()
    rows = await bench.runtime.database.fetch_all("SELECT alerted_at FROM cost_budgets")
    assert any(row["alerted_at"] is not None for row in rows), (amount, states)


async def test_component_3_pauses_expensive_models_when_over_budget(bench):
    await bench.route()
    await set_budget(bench, "model:openai/gpt-4o", "daily", "0.0001")
    result = await bench.route("The expensive model has no money left.")
    assert result.status == "completed"
    assert result.model != "openai/gpt-4o"


# Component 4, performance tracker


async def test_component_4_tracks_success_time_tokens_and_errors_per_model(bench):
    bench.fail("unavailable", {"model": "openai/gpt-4o"})
    await bench.route()
    await bench.route("Once more.")
    document = await performance_report(
        bench.runtime.database, await span_of(bench), "model", after=None, limit=10
    )
    groups = {group["key"]: group for group in document["groups"]}
    first = groups["openai/gpt-4o"]
    assert (first["requests"], first["success_rate"], first["error_rate"]) == (2, 0.5, 0.5)
    assert first["errors"] == {"busy": 1}
    assert first["tokens_avg"] > 0
    assert first["latency_ms_avg"] is not None


async def test_component_4_demotes_a_model_that_fails_again_and_again(bench):
    bench.fail("unavailable", {"model": "openai/gpt-4o"}, times=None)
    for number in range(5):
        await bench.route(f"Bug {number}.")
    before = bench.asked
    result = await bench.route("And the sixth.")
    assert bench.asked == before + 1, "the failing model is not asked any more"
    assert result.model != "openai/gpt-4o"


# Component 5, OpenRouter client


@pytest.mark.parametrize("policy", ["normal", "deep_research", "code", "ops"])
async def test_component_5_is_one_interface_to_several_providers(bench, policy):
    result = await bench.route(policy=policy)
    assert (result.status, result.policy) == ("completed", policy)
    assert result.provider


async def test_component_5_fails_over_by_itself(bench):
    bench.fail("overloaded", {"model": "openai/gpt-4o"})
    result = await bench.route()
    assert (result.status, len(result.attempts)) == ("completed", 2)


async def test_component_5_handles_rate_limits(bench):
    bench.fail("rate_limited", retry_after=0)
    result = await bench.route()
    assert [attempt.model for attempt in result.attempts] == ["openai/gpt-4o"] * 2


async def test_component_5_tracks_cost(bench):
    assert (await bench.route()).cost_usd == bench.true_spend


async def test_component_5_streams_responses(bench, collected):
    result = await bench.route(sink=collected)
    assert collected.text == result.content


# The four tables: every column of the seed is there under its name

TABLES = {
    "routing_policies": "id name description policy_config is_active created_at updated_at",
    "model_selections": "id task_id policy_name selected_model selected_provider estimated_cost"
    " actual_cost tokens_used response_time_ms success created_at",
    "model_performance": "id model_name provider window_start window_end total_requests"
    " successful_requests failed_requests avg_response_time_ms total_cost avg_tokens_used"
    " created_at",
    "cost_budgets": "id budget_type budget_period budget_amount spent_amount period_start"
    " period_end alert_threshold created_at",
}


@pytest.mark.parametrize("table", TABLES)
async def test_table_has_every_column_of_the_seed(bench, table):
    assert set(TABLES[table].split()) <= await columns_of(bench, table)


# The eleven steps of the routing decision flow


async def test_step_1_task_arrives_and_is_recorded(bench):
    result = await bench.route(task_id="6f1b1f0e-1111-4222-8333-444455556666")
    rows = await bench.runtime.database.fetch_all("SELECT id, task_id FROM routing_decisions")
    assert [row["id"] for row in rows] == [result.decision_id]
    assert str(rows[0]["task_id"]) == "6f1b1f0e-1111-4222-8333-444455556666"


def test_step_2_task_type_and_complexity_are_determined():
    found = classify(RoutingRequest(prompt="Fix the bug: the importer drops the last row."))
    assert found.task_type == "fix_bug"
    assert found.complexity in ("simple", "moderate", "complex")


async def test_step_3_applicable_policy_is_found(bench):
    result = await bench.route(task_type="analyze_logs")
    assert (result.policy, result.policy_version) == ("normal", 1)


async def test_step_4_budget_constraints_are_checked(bench):
    await set_budget(bench, "worker:w1", "monthly", "0.000001")
    assert (await bench.route()).status == "rejected"
    assert (await bench.route("Another worker's.", worker_id="w2")).status == "completed"


async def test_step_5_available_models_come_from_the_policy(bench):
    plan = await stored_plan(bench, await bench.route())
    policy = await stored_policy(bench, "code")
    considered = {one["model_id"] for one in plan["considered"]}
    assert considered == {model.model_id for model in policy.models}


async def test_step_6_performance_metrics_are_part_of_the_snapshot(bench):
    await bench.route()
    result = await bench.route("Second.")
    rows = await bench.runtime.database.fetch_all(
        "SELECT snapshot FROM routing_decisions WHERE id = %s", (result.decision_id,)
    )
    statistics = {one["model_id"]: one for one in rows[0]["snapshot"]["statistics"]}
    assert statistics["openai/gpt-4o"]["attempts"] == 1


async def test_step_7_highest_priority_model_is_selected(bench):
    plan = await stored_plan(bench, await bench.route())
    assert plan["candidates"][0]["model_id"] == "openai/gpt-4o"


async def test_step_8_selection_and_estimated_cost_are_tracked_before_the_call(bench):
    bench.fail("server_error", times=None)  # even when nothing comes back
    result = await bench.route()
    rows = await bench.rows(result.decision_id)
    assert all(row["estimated_cost"] > 0 for row in rows)
    assert len(rows) == bench.asked


async def test_step_9_task_is_executed_with_the_selected_model(bench):
    result = await bench.route()
    assert bench.charges[0].requested_model == result.model
    assert result.content


async def test_step_10_actual_cost_and_performance_are_tracked(bench):
    result = await bench.route()
    (row,) = await bench.rows(result.decision_id)
    assert row["actual_cost"] == bench.true_spend
    assert row["response_time_ms"] is not None
    assert row["tokens_used"] == result.prompt_tokens + result.completion_tokens


async def test_step_11_performance_metrics_are_updated_for_the_next_decision(bench):
    await bench.route()
    document = await performance_report(
        bench.runtime.database, await span_of(bench), "task_type", after=None, limit=10
    )
    assert [(g["key"], g["success_rate"]) for g in document["groups"]] == [("fix_bug", 1.0)]


async def stored_plan(bench, result) -> dict:
    rows = await bench.runtime.database.fetch_all(
        "SELECT plan FROM routing_decisions WHERE id = %s", (result.decision_id,)
    )
    return rows[0]["plan"]
