"""Seed component 2: the model selector. 1,000 prompt tokens are held in every case."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from models.plan import OutKind, Plan
from models.policy import Complexity
from models.request import OnExhausted
from models.selection import select
from tests.models.builders import (
    CHEAP,
    DEAR,
    MIDDLE,
    NOW,
    TOMORROW,
    budget_of,
    card_of,
    class_of,
    features_of,
    policy_of,
    snapshot_of,
    statistics_of,
)

IDS = tuple(card.model_id for card in (DEAR, MIDDLE, CHEAP))
UPWARD = tuple(reversed(IDS))


def ids_of(plan: Plan) -> list[str]:
    return [candidate.model_id for candidate in plan.candidates]


def out_of(plan: Plan, model_id: str) -> tuple[OutKind | None, str]:
    (found,) = [one for one in plan.considered if one.model_id == model_id]
    return found.kind, found.reason


def test_select_takes_the_highest_priority_first_when_all_are_available():
    plan = select(snapshot_of())
    assert ids_of(plan) == ["c/dear", "b/middle", "a/cheap"]
    assert [one.attempt for one in plan.considered] == [1, 2, 3]
    # 1,000 * 5 + 1,000 * 20 per million
    assert plan.candidates[0].worst_case_usd == Decimal("0.025")
    assert plan.candidates[0].elastic_usd == Decimal("0.025")
    # 286 * 5 + 250 (a quarter of 1,000) * 20 per million
    assert plan.estimated_cost_usd == Decimal("0.00643")
    assert plan.refusal is None
    assert not plan.needs_approval


def test_select_plans_three_attempts_at_most():
    plan = select(snapshot_of(DEAR, MIDDLE, card_of("d/more", "0.5", "2"), CHEAP))
    assert ids_of(plan) == ["c/dear", "b/middle", "d/more"]
    assert out_of(plan, "a/cheap") == (OutKind.NOT_NEEDED, "three attempts are planned")


def test_select_drops_a_dearer_fallback_when_the_policy_says_no_dearer():
    plan = select(snapshot_of(MIDDLE, DEAR, CHEAP))
    assert ids_of(plan) == ["b/middle", "a/cheap"]
    kind, reason = out_of(plan, "c/dear")
    assert kind is OutKind.DEARER
    assert "$0.025 is dearer than the $0.005 of b/middle" in reason


def test_select_keeps_a_dearer_fallback_when_the_policy_says_any():
    policy = policy_of("b/middle", "c/dear", "a/cheap", fallbacks="any")
    assert ids_of(select(snapshot_of(MIDDLE, DEAR, CHEAP, policy=policy))) == [
        "b/middle",
        "c/dear",
        "a/cheap",
    ]


def test_select_never_holds_more_for_a_fallback_when_the_first_model_answers_short():
    short = card_of("s/short", "2", "10", completion_tokens_max=100)  # holds 0.002 + 0.001
    plan = select(snapshot_of(short, MIDDLE))
    first, second = plan.candidates
    assert first.worst_case_usd == Decimal("0.003")
    assert second.worst_case_usd <= first.worst_case_usd
    assert second.max_tokens == 500  # (0.003 - 0.001) / 0.000004
    assert any("the hold of s/short" in reason for reason in plan.reasons)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"suspended_reason": "vanished upstream"}, OutKind.NONE_ACTIVE, "vanished upstream"),
        ({"price": None}, OutKind.PRICE, "no known price"),
        ({"priced_at": NOW - timedelta(hours=25)}, OutKind.PRICE, "25 h old"),
        ({"abilities": frozenset({"tools"})}, OutKind.ABILITY, "cannot do image"),
        ({"context_tokens": 550}, OutKind.CONTEXT, "context of 550 tokens too small"),
    ],
)
def test_select_leaves_a_reason_when_a_model_is_filtered_out(changes, kind, words):
    other = replace(DEAR, **changes)
    plan = select(snapshot_of(other, MIDDLE, features=features_of(abilities=("image",))))
    assert ids_of(plan) == ["b/middle"]
    found, reason = out_of(plan, "c/dear")
    assert found is kind
    assert words in reason
    assert f"c/dear: {reason}" in plan.reasons


def test_select_leaves_a_reason_when_a_model_is_not_listed():
    plan = select(snapshot_of(MIDDLE, policy=policy_of("x/gone", "b/middle")))
    assert out_of(plan, "x/gone") == (OutKind.NONE_ACTIVE, "not in the price list")


def test_select_asks_for_the_abilities_that_the_policy_requires():
    policy = policy_of("c/dear", required_abilities=["audio"])
    refusal = select(snapshot_of(DEAR, policy=policy)).refusal
    assert refusal is not None
    assert refusal.kind is OutKind.ABILITY


def test_select_accepts_a_price_when_it_is_exactly_a_day_old():
    card = replace(DEAR, priced_at=NOW - timedelta(hours=24))
    assert ids_of(select(snapshot_of(card))) == ["c/dear"]


def test_select_clamps_the_answer_when_the_context_is_nearly_full():
    card = replace(DEAR, context_tokens=700)  # 1,000 bytes count as 500 tokens of context
    assert select(snapshot_of(card)).candidates[0].max_tokens == 200


def test_select_knows_no_context_or_answer_limit_when_the_catalogue_has_none():
    card = replace(DEAR, context_tokens=None, completion_tokens_max=None)
    assert select(snapshot_of(card)).candidates[0].max_tokens == 1000


def test_select_counts_images_by_model_and_by_answer():
    card = card_of("openai/gpt-4o-mini", "1", "1")
    features = features_of(images=1, answers=2, abilities=("image",))
    (candidate,) = select(snapshot_of(card, features=features)).candidates
    assert candidate.prompt_tokens_bound == 1000 + 48_200
    assert candidate.worst_case_usd == Decimal("0.0512")  # 49,200 + 2 * 1,000 tokens


# money


def test_select_cuts_the_answer_so_that_the_worst_case_fits_when_a_budget_is_low():
    plan = select(snapshot_of(DEAR, budgets=(budget_of("0.015"),)))
    assert plan.candidates[0].max_tokens == 500  # (0.015 - 0.005) / 0.00002
    assert plan.candidates[0].worst_case_usd == Decimal("0.015")
    assert any("cut to 500 of 1000 tokens" in reason for reason in plan.reasons)


def test_select_downgrades_by_fit_when_the_first_model_is_too_dear():
    # 0.005 + 64 * 0.00002 = 0.00628 is the least that c/dear costs
    plan = select(snapshot_of(budgets=(budget_of("0.006279"),)))
    assert ids_of(plan) == ["b/middle", "a/cheap"]
    kind, reason = out_of(plan, "c/dear")
    assert kind is OutKind.MONEY
    assert "at least $0.00628 is above the $0.006279 left in global daily" in reason


@pytest.mark.parametrize("cap", ["features", "policy"])
def test_select_fits_the_limit_per_task_when_it_is_less_than_the_budgets(cap):
    limit = Decimal("0.015")
    changes = (
        {"features": features_of(max_cost_usd=limit)}
        if cap == "features"
        else {"policy": policy_of("c/dear", max_cost_per_task="0.015")}
    )
    plan = select(snapshot_of(DEAR, **changes))
    assert plan.candidates[0].worst_case_usd == limit
    assert any("the limit per task" in reason for reason in plan.reasons)


def test_select_asks_for_a_short_answer_when_the_caller_wants_one():
    plan = select(snapshot_of(DEAR, features=features_of(max_tokens=16)))
    assert plan.candidates[0].max_tokens == 16


def test_select_refuses_for_money_when_nothing_fits():
    budget = budget_of("5", spent_usd=Decimal("4.9999"))
    plan = select(snapshot_of(DEAR, MIDDLE, budgets=(budget,)))
    refusal = plan.refusal
    assert refusal is not None
    assert (refusal.kind, refusal.action) == (OutKind.MONEY, "reject")
    assert refusal.period_end == TOMORROW
    assert "b/middle: worst case" in refusal.message
    assert plan.candidates == ()


def test_select_shows_nothing_left_when_a_budget_was_overrun():
    budget = budget_of("5", spent_usd=Decimal("6"))
    refusal = select(snapshot_of(DEAR, budgets=(budget,))).refusal
    assert refusal is not None
    assert "above the $0 left in global daily" in refusal.message


def test_select_refuses_when_no_budget_covers_a_paid_call():
    refusal = select(snapshot_of(DEAR, budgets=())).refusal
    assert refusal is not None
    assert refusal.kind is OutKind.NO_BUDGET


def test_select_needs_no_budget_when_the_model_is_free():
    assert ids_of(select(snapshot_of(card_of("f/free", "0", "0"), budgets=()))) == ["f/free"]


@pytest.mark.parametrize("choice", [OnExhausted.PARK, OnExhausted.REJECT])
def test_select_does_not_downgrade_when_the_caller_would_rather_wait_or_stop(choice):
    features = features_of(on_exhausted=choice)
    plan = select(snapshot_of(features=features, budgets=(budget_of("0.024"),)))
    refusal = plan.refusal
    assert refusal is not None
    assert refusal.kind is OutKind.MONEY
    assert out_of(plan, "a/cheap")[0] is OutKind.NOT_NEEDED
    assert refusal.action == "reject"  # 0.024 is the whole budget: waiting will not help


def test_select_parks_until_the_period_turns_when_the_caller_says_so():
    features = features_of(on_exhausted=OnExhausted.PARK)
    budget = budget_of("5", spent_usd=Decimal("4.99"))
    refusal = select(snapshot_of(features=features, budgets=(budget,))).refusal
    assert refusal is not None
    assert (refusal.action, refusal.period_end) == ("park", TOMORROW)


def test_select_parks_by_the_policy_when_the_caller_does_not_choose():
    policy = policy_of(*IDS, on_exhausted="park")
    budget = budget_of("5", spent_usd=Decimal("4.99"))
    refusal = select(snapshot_of(policy=policy, budgets=(budget,))).refusal
    assert refusal is not None
    assert refusal.action == "park"


def test_select_goes_to_the_next_model_when_only_the_limit_per_task_is_in_the_way():
    features = features_of(on_exhausted=OnExhausted.PARK, max_cost_usd=Decimal("0.006"))
    assert ids_of(select(snapshot_of(features=features))) == ["b/middle", "a/cheap"]


def test_select_parks_in_vain_never_when_only_the_limit_per_task_is_in_the_way():
    features = features_of(on_exhausted=OnExhausted.PARK, max_cost_usd=Decimal("0.000001"))
    refusal = select(snapshot_of(features=features)).refusal
    assert refusal is not None
    assert (refusal.kind, refusal.action, refusal.period_end) == (OutKind.MONEY, "reject", None)


def test_select_attempts_when_the_caller_would_park_but_the_first_model_fits():
    features = features_of(on_exhausted=OnExhausted.PARK)
    assert ids_of(select(snapshot_of(features=features))) == list(IDS)


def test_select_looks_only_at_budgets_that_cover_the_call():
    budgets = (
        budget_of(),
        budget_of("0", budget_type="policy", scope_key="code"),
        budget_of("0", budget_type="worker", scope_key="w2"),
        budget_of("0", budget_type="model", scope_key="c/dear", name="model:c/dear daily"),
        budget_of("9", budget_type="model", scope_key="*"),
        budget_of("9", budget_type="policy", scope_key="normal"),
        budget_of("9", budget_type="worker", scope_key="w1"),
        budget_of("9", budget_type="task", scope_key="decision:1"),
    )
    plan = select(snapshot_of(budgets=budgets, features=features_of(worker_id="w1")))
    assert ids_of(plan) == ["b/middle", "a/cheap"]
    assert "model:c/dear daily" in out_of(plan, "c/dear")[1]


def test_select_holds_less_and_says_so_when_a_budget_is_elastic():
    ratio = (statistics_of("c/dear", elastic_ratio=Decimal("0.4")),)
    plan = select(snapshot_of(DEAR, budgets=(budget_of("0.01", mode="elastic"),), statistics=ratio))
    (candidate,) = plan.candidates  # 0.01 / 0.4 takes a worst case of 0.025
    assert candidate.worst_case_usd == Decimal("0.025")
    assert candidate.elastic_usd == Decimal("0.01")
    assert plan.possible_overshoot_usd == Decimal("0.015")
    assert any("up to $0.015 over" in reason for reason in plan.reasons)


def test_select_takes_no_elastic_ratio_above_one():
    ratio = (statistics_of("c/dear", elastic_ratio=Decimal(2)),)
    plan = select(snapshot_of(DEAR, budgets=(budget_of(mode="elastic"),), statistics=ratio))
    assert plan.candidates[0].elastic_usd == Decimal("0.025")


# pause, circuit, performance, simplicity


def pausing(spent: str) -> Plan:
    policy = policy_of(*IDS, pause_above="0.8", expensive_above_usd="0.01")
    budget = budget_of("5", spent_usd=Decimal(spent))
    return select(snapshot_of(policy=policy, budgets=(budget,)))


def test_select_pauses_expensive_models_when_a_budget_is_nearly_spent():
    assert ids_of(pausing("3.99")) == list(IDS)
    assert ids_of(pausing("4")) == ["b/middle", "a/cheap"]
    kind, reason = out_of(pausing("4"), "c/dear")
    assert kind is OutKind.PAUSED
    assert reason == (
        "paused: $4 of $5 in global daily are used, and its worst case $0.025 is above $0.01"
    )


def test_select_refuses_for_money_when_every_model_is_paused():
    policy = policy_of(
        "c/dear", pause_above="0.5", expensive_above_usd="0.001", on_exhausted="park"
    )
    budget = budget_of("5", reserved_usd=Decimal(4))
    refusal = select(snapshot_of(DEAR, policy=policy, budgets=(budget,))).refusal
    assert refusal is not None
    assert (refusal.kind, refusal.action) == (OutKind.MONEY, "park")
    assert refusal.period_end == TOMORROW


def open_circuit(model_id: str, seconds: int):
    return statistics_of(model_id, circuit_open_until=NOW + timedelta(seconds=seconds))


def test_select_passes_over_a_model_when_its_circuit_is_open():
    plan = select(snapshot_of(statistics=(open_circuit("c/dear", 30), open_circuit("a/cheap", 0))))
    assert ids_of(plan) == ["b/middle", "a/cheap"]
    assert out_of(plan, "c/dear") == (
        OutKind.CIRCUIT,
        "resting after failures until 12:00:30 UTC",
    )


def test_select_probes_the_least_bad_model_when_every_circuit_is_open():
    statistics = tuple(open_circuit(m, s) for m, s in zip(IDS, (90, 30, 60), strict=True))
    plan = select(snapshot_of(statistics=statistics))
    assert ids_of(plan) == ["b/middle"]
    assert "b/middle is probed: the circuits of all models are open" in plan.reasons


POOR = statistics_of("c/dear", attempts=20, success_rate=0.4)


def test_select_demotes_a_model_when_it_fails_more_often_than_not():
    plan = select(snapshot_of(statistics=(POOR,), policy=policy_of(*IDS, fallbacks="any")))
    assert ids_of(plan) == ["b/middle", "a/cheap", "c/dear"]
    assert "c/dear goes last: only 40% of its calls succeed lately" in plan.reasons


@pytest.mark.parametrize(
    "statistics",
    [
        (replace(POOR, attempts=19),),
        (replace(POOR, success_rate=0.5),),
        (replace(POOR, success_rate=None),),
        tuple(replace(POOR, model_id=model_id) for model_id in IDS),
    ],
)
def test_select_keeps_the_priorities_when_there_is_no_case_against_a_model(statistics):
    assert ids_of(select(snapshot_of(statistics=statistics))) == list(IDS)


def test_select_keeps_the_priorities_when_learning_is_off():
    policy = policy_of(*IDS, learning="off")
    assert ids_of(select(snapshot_of(statistics=(POOR,), policy=policy))) == list(IDS)


@pytest.mark.parametrize(
    ("expected", "actual", "start"),
    [
        ("simple", Complexity.SIMPLE, "c/dear"),
        ("moderate", Complexity.SIMPLE, "b/middle"),
        ("complex", Complexity.MODERATE, "b/middle"),
        ("complex", Complexity.SIMPLE, "a/cheap"),
        ("moderate", Complexity.COMPLEX, "c/dear"),
    ],
)
def test_select_starts_cheaper_when_the_task_is_simpler_than_expected(expected, actual, start):
    policy = policy_of(*IDS, complexity=expected, fallbacks="any")
    plan = select(snapshot_of(policy=policy, classification=class_of(actual)))
    assert ids_of(plan)[0] == start
    assert sorted(ids_of(plan)) == sorted(IDS)


def test_select_starts_with_the_first_model_when_the_policy_forbids_the_downgrade():
    policy = policy_of(*IDS, allow_downgrade_by_simplicity=False)
    plan = select(snapshot_of(policy=policy, classification=class_of(Complexity.SIMPLE)))
    assert ids_of(plan) == list(IDS)


def test_select_starts_with_the_first_model_when_none_is_cheaper():
    policy = policy_of(*UPWARD, fallbacks="any")
    plan = select(snapshot_of(policy=policy, classification=class_of(Complexity.SIMPLE)))
    assert ids_of(plan) == list(UPWARD)


# the request's own wishes


def test_select_asks_only_the_named_model_when_the_request_names_one():
    plan = select(snapshot_of(features=features_of(model="b/middle")))
    assert ids_of(plan) == ["b/middle"]
    assert [one.model_id for one in plan.considered] == ["b/middle"]
    assert "the request names b/middle: the policy's list is passed over" in plan.reasons


@pytest.mark.parametrize(
    ("policy_limit", "request_limit", "needed"),
    [(None, None, False), ("0.024", None, True), ("0.025", None, False), ("1", "0.02", True)],
)
def test_select_asks_for_approval_above_the_stricter_limit(policy_limit, request_limit, needed):
    features = features_of(approval_above_usd=request_limit and Decimal(request_limit))
    policy = policy_of(*IDS, approval_above_usd=policy_limit)
    plan = select(snapshot_of(policy=policy, features=features))
    assert plan.needs_approval is needed
    assert any("needs approval" in reason for reason in plan.reasons) is needed


def test_select_refuses_when_a_part_of_the_request_has_no_bound():
    refusal = select(snapshot_of(features=features_of(unbounded=("a web search",)))).refusal
    assert refusal is not None
    assert refusal.kind is OutKind.UNBOUNDED
    assert "a web search" in refusal.message


def test_select_refuses_when_the_policy_is_inactive():
    refusal = select(snapshot_of(policy=policy_of(*IDS, is_active=False))).refusal
    assert refusal is not None
    assert refusal.message == "policy normal is inactive"


def test_select_expects_what_the_model_usually_writes_when_it_is_known():
    statistics = (statistics_of("c/dear", completion_tokens_avg=100),)
    # 286 * 5 + 100 * 20 per million
    assert select(snapshot_of(statistics=statistics)).estimated_cost_usd == Decimal("0.00343")
