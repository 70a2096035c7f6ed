"""What holds for every snapshot, whatever is in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from models.classification import Classification
from models.fit import room_in
from models.plan import plan_from_document
from models.policy import Complexity
from models.request import OnExhausted
from models.selection import replay, select
from models.snapshot import BudgetRoom, ModelStatistics, Snapshot, from_document, from_json
from tests.models.builders import (
    NOW,
    TOMORROW,
    budget_of,
    card_of,
    features_of,
    policy_of,
    snapshot_of,
)

IDS = tuple(f"m{number}/model" for number in range(6))
usd = st.decimals("0", "0.2", places=6)
shares = st.decimals("0.01", "1", places=4)
prices = st.decimals("0", "50", places=3).map(str)


@st.composite
def cards(draw, model_id):
    card = card_of(model_id, draw(prices), draw(prices))
    return replace(
        card,
        price=draw(st.sampled_from((card.price, card.price, card.price, None))),
        context_tokens=draw(st.sampled_from((None, 600, 4_000, 100_000))),
        completion_tokens_max=draw(st.sampled_from((None, 100, 4_096))),
        suspended_reason=draw(st.sampled_from((None, None, None, "vanished"))),
        abilities=frozenset(draw(st.sets(st.sampled_from(("tools", "image"))))),
        priced_at=NOW - timedelta(hours=draw(st.integers(0, 26))),
    )


@st.composite
def budgets(draw):
    kind = draw(st.sampled_from(("global", "policy", "worker", "model", "task")))
    key = {"policy": "normal", "worker": "w1", "model": IDS[0]}.get(kind, "*")
    return BudgetRoom(
        name=f"{kind} daily",
        budget_type=kind,
        scope_key=draw(st.sampled_from(("*", key))),
        amount_usd=draw(usd),
        spent_usd=draw(usd) / 4,
        reserved_usd=draw(usd) / 4,
        mode=draw(st.sampled_from(("hard", "elastic"))),
        period_end=draw(st.sampled_from((None, TOMORROW))),
    )


@st.composite
def statistics(draw, model_id):
    until = st.sampled_from((None, None, NOW - timedelta(seconds=9), NOW + timedelta(seconds=9)))
    return ModelStatistics(
        model_id,
        attempts=draw(st.integers(0, 50)),
        success_rate=draw(st.none() | st.floats(0, 1)),
        completion_tokens_avg=draw(st.none() | st.integers(0, 2_000)),
        circuit_open_until=draw(until),
        elastic_ratio=draw(shares),
    )


@st.composite
def snapshots(draw) -> Snapshot:
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=6, unique=True))
    pause = draw(st.sampled_from(({}, {"pause_above": "0.5", "expensive_above_usd": "0.01"})))
    return snapshot_of(
        policy=policy_of(
            *ids,
            fallbacks=draw(st.sampled_from(("any", "no_dearer"))),
            complexity=draw(st.sampled_from(list(Complexity))),
            max_cost_per_task=str(draw(usd) + Decimal("0.000001")),
            max_tokens=draw(st.sampled_from((1, 50, 1000, 8000))),
            approval_above_usd=draw(st.none() | usd.map(str)),
            **pause,
        ),
        cards=tuple(draw(cards(model_id)) for model_id in ids),
        statistics=tuple(draw(statistics(model_id)) for model_id in ids),
        budgets=tuple(draw(st.lists(budgets(), max_size=4))),
        classification=Classification(
            "fix_bug", "given", draw(st.sampled_from(list(Complexity))), 1.5, (("length", 0.25),)
        ),
        features=features_of(
            text_tokens_bound=draw(st.integers(16, 5_000)),
            images=draw(st.integers(0, 2)),
            answers=draw(st.integers(1, 3)),
            abilities=tuple(sorted(draw(st.sets(st.sampled_from(("tools", "image")))))),
            max_tokens=draw(st.none() | st.integers(1, 20_000)),
            max_cost_usd=draw(st.none() | usd),
            on_exhausted=draw(st.sampled_from((None, *OnExhausted))),
            worker_id="w1",
        ),
        draw=draw(st.floats(0, 1, exclude_max=True)),
    )


def covering(snapshot: Snapshot, model_id: str) -> list[BudgetRoom]:
    return [
        room
        for room in snapshot.budgets
        if room.budget_type != "model" or room.scope_key in ("*", model_id)
    ]


@given(snapshots())
@settings(max_examples=60, deadline=None)
def test_select_never_plans_an_attempt_that_does_not_fit(snapshot):
    for candidate in select(snapshot).candidates:
        assert candidate.worst_case_usd <= snapshot.task_cap_usd
        for room in covering(snapshot, candidate.model_id):
            elastic = room.mode == "elastic"
            held = candidate.elastic_usd if elastic else candidate.worst_case_usd
            assert held <= room.remaining_usd


@given(snapshots())
@settings(max_examples=60, deadline=None)
def test_select_either_plans_or_refuses_and_explains_every_model_once(snapshot):
    plan = select(snapshot)
    assert (plan.refusal is None) is bool(plan.candidates)
    assert len(plan.candidates) <= 3
    assert sorted(one.model_id for one in plan.considered) == sorted(
        entry.model_id for entry in snapshot.policy.models
    )
    assert [one.model_id for one in plan.considered if one.attempt is not None] == [
        candidate.model_id for candidate in plan.candidates
    ]
    assert all(one.reason in "\n".join(plan.reasons) for one in plan.considered)
    if plan.candidates:
        assert plan.estimated_cost_usd <= plan.candidates[0].worst_case_usd
    if plan.refusal is not None and plan.refusal.action == "park":
        assert plan.refusal.period_end is not None


@given(snapshots())
@settings(max_examples=60, deadline=None)
def test_select_plans_no_dearer_hold_after_a_failure_unless_the_policy_says_any(snapshot):
    holds = [candidate.worst_case_usd for candidate in select(snapshot).candidates]
    if snapshot.policy.fallbacks == "no_dearer":
        assert holds == sorted(holds, reverse=True)


@given(snapshots(), usd)
@settings(max_examples=60, deadline=None)
def test_select_is_never_emptied_by_more_money_in_the_budgets(snapshot, more):
    richer = replace(
        snapshot,
        budgets=tuple(
            replace(room, amount_usd=room.amount_usd + more) for room in snapshot.budgets
        ),
    )
    assert not select(snapshot).candidates or select(richer).candidates


@given(snapshots(), usd)
@settings(max_examples=60, deadline=None)
def test_select_is_never_emptied_by_a_higher_limit_when_it_may_downgrade(snapshot, more):
    """Who would rather wait than get less may have to wait longer for a longer answer."""
    features = replace(snapshot.features, on_exhausted=OnExhausted.DOWNGRADE)
    snapshot = replace(snapshot, features=features)
    asked = features.max_cost_usd
    richer = replace(
        snapshot,
        features=replace(features, max_cost_usd=None if asked is None else asked + more),
        policy=snapshot.policy.model_copy(
            update={"max_cost_per_task": snapshot.policy.max_cost_per_task + more}
        ),
    )
    assert not select(snapshot).candidates or select(richer).candidates


@given(snapshots())
@settings(max_examples=60, deadline=None)
def test_replay_gives_the_same_plan_after_a_trip_through_json(snapshot):
    plan, text = select(snapshot), snapshot.to_json()
    assert from_json(text) == snapshot
    assert from_json(text).to_json() == text
    assert from_document(snapshot.document()) == snapshot
    assert replay(text) == plan == select(snapshot)
    assert plan_from_document(plan.document()) == plan


@given(st.decimals("0.000000000001", "9000000", places=12), shares)
@settings(max_examples=200, deadline=None)
def test_room_in_an_elastic_budget_holds_what_it_promises(left, ratio):
    room = room_in([budget_of(str(left), mode="elastic")], ratio)
    assert room.available_usd * ratio <= left
