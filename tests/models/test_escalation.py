"""Which requests a chain serves, and what the plan of one looks like."""

from __future__ import annotations

from decimal import Decimal

import pytest

from models.features import TOOLS
from models.learning.chain_orders import starting_chain
from models.plan import OutKind, plan_from_document
from models.selection import replay, select
from tests.models.builders import (
    CHEAP,
    DEAR,
    MIDDLE,
    budget_of,
    class_of,
    features_of,
    policy_of,
    snapshot_of,
)

CARDS = {card.model_id: card for card in (DEAR, MIDDLE, CHEAP)}
CHECKED = features_of(checked=True)


def chain(*models, check="accept"):
    return {"task_type": "fix_bug", "models": models, "escalates": True, "check": check}


def planned(*orders, features=CHECKED, budgets=None, **changes):
    parts = {"escalation": "on", "orders": list(orders)} | changes
    policy = policy_of("c/dear", "b/middle", "a/cheap", **parts)
    snapshot = snapshot_of(policy=policy, features=features, budgets=budgets or (budget_of(),))
    plan = select(snapshot)
    assert replay(snapshot.to_json()) == plan
    assert plan_from_document(plan.document()) == plan
    return plan


def asked(plan):
    return [one.model_id for one in plan.candidates]


def test_chain_is_planned_from_cheap_to_dear_for_a_checked_request():
    plan = planned(chain("a/cheap", "c/dear"))
    assert asked(plan)[:2] == ["a/cheap", "c/dear"]
    assert plan.escalates


@pytest.mark.parametrize(
    ("features", "changes"),
    [
        (features_of(), {}),
        (features_of(checked=True, model="c/dear"), {}),
        (CHECKED, {"escalation": "off"}),
        (CHECKED, {"escalation": "suggested"}),
        (CHECKED, {"learning": "off"}),
    ],
)
def test_chain_is_not_followed_where_it_is_not_wanted_or_not_checked(features, changes):
    plan = planned(chain("a/cheap", "c/dear"), features=features, **changes)
    assert asked(plan)[0] == "c/dear"
    assert not plan.escalates


@pytest.mark.parametrize(
    ("features", "follows"),
    [
        (features_of(), True),
        (features_of(checked=True), False),
        (features_of(abilities=(TOOLS,)), False),
        (features_of(answers=2), False),
    ],
)
def test_two_models_are_compared_only_where_there_is_one_unchecked_text(features, follows):
    order = chain("a/cheap", "b/middle", "c/dear", check="agreement")
    plan = planned(order, features=features, escalation_check="agreement")
    assert plan.escalates is follows


def test_two_models_are_compared_only_where_the_policy_lets_them_decide():
    order = chain("a/cheap", "b/middle", "c/dear", check="agreement")
    assert not planned(order, features=features_of()).escalates


def test_holds_of_all_steps_fit_the_limit_per_task_together():
    # 1,016 prompt tokens and 1,000 of an answer: $0.0005, $0.005 and $0.025 at most; the last
    # one's answer is cut to what the first two leave
    plan = planned(chain("a/cheap", "b/middle", "c/dear"), max_cost_per_task="0.02")
    held = sum(one.worst_case_usd for one in plan.candidates)
    assert asked(plan) == ["a/cheap", "b/middle", "c/dear"]
    assert plan.candidates[2].max_tokens < 1000
    assert held <= Decimal("0.02")


def test_budget_of_one_model_is_not_lessened_by_the_holds_of_others():
    # the dear model's worst case is 1,000 * $0.000005 + 1,000 * $0.00002 = $0.025
    own = budget_of("0.0251", name="model daily", budget_type="model", scope_key="c/dear")
    plan = planned(chain("a/cheap", "b/middle", "c/dear"), budgets=(budget_of(), own))
    assert plan.candidates[2].max_tokens == 1000


def test_chain_is_not_followed_when_its_second_step_does_not_fit():
    plan = planned(chain("a/cheap", "c/dear"), max_cost_per_task="0.006")
    assert not plan.escalates
    assert any(reason.startswith("chain not followed, its steps cannot") for reason in plan.reasons)


def test_agreement_is_not_followed_without_its_third_model():
    order = chain("a/cheap", "b/middle", "c/dear", check="agreement")
    plan = planned(
        order, features=features_of(), escalation_check="agreement", max_cost_per_task="0.008"
    )
    assert not plan.escalates
    assert {one.kind for one in plan.considered} <= {None, OutKind.MONEY, OutKind.DEARER}


def test_chain_of_one_model_says_that_none_pays():
    single = chain("a/cheap") | {"escalates": False}
    assert planned(single).chain is None


def test_approval_is_asked_for_what_all_steps_may_cost_together():
    plan = planned(chain("a/cheap", "b/middle", "c/dear"), approval_above_usd="0.026")
    assert max(one.worst_case_usd for one in plan.candidates) < Decimal("0.026")
    assert plan.needs_approval


def test_interrupted_chain_goes_on_where_it_stopped():
    plan = planned(chain("a/cheap", "b/middle", "c/dear"))
    for made, left in ((0, 3), (1, 2), (2, 1), (7, 1)):
        assert asked(plan)[-left:] == [one.model_id for one in plan.remaining(made)]


def test_starting_chain_comes_from_priors_while_nothing_is_learned():
    policy = policy_of("c/dear", "b/middle", "a/cheap", escalation="on", success_value_usd="0.1")
    first = starting_chain(policy, CARDS, class_of(), CHECKED)
    assert first is not None and first.escalates and first.models[0] == "a/cheap"
    plan = select(snapshot_of(policy=policy, features=CHECKED, starting_chain=first))
    assert plan.escalates and plan.chain is not None and plan.chain.source == "public priors"


def test_starting_chain_gives_way_to_what_was_learned():
    policy = policy_of(
        "c/dear", "a/cheap", escalation="on", orders=[chain("c/dear") | {"escalates": False}]
    )
    assert starting_chain(policy, CARDS, class_of(), CHECKED) is None
