"""Exploration in the selection: whom it asks, how likely, and that a replay agrees."""

from __future__ import annotations

import pytest

from models.selection import replay, select
from tests.models.builders import (
    budget_of,
    features_of,
    policy_of,
    snapshot_of,
    statistics_of,
)

# Undominated: the dear, the middle and the cheap model, whose tiers' priors rise with the price.
IDS = ("c/dear", "b/middle", "a/cheap")


def explored(draw: float, share: float = 0.2, **changes):
    return snapshot_of(policy=policy_of(*IDS, exploration=share), draw=draw, **changes)


@pytest.mark.parametrize(
    ("draw", "first", "propensity"),
    [
        (0.05, "a/cheap", 0.1),  # 0.05 / 0.2 * 2 = 0.5: the first of two others
        (0.15, "b/middle", 0.1),  # 0.15 / 0.2 * 2 = 1.5: the second
        (0.20, "c/dear", 0.8),  # at the share and above nothing is explored
        (0.99, "c/dear", 0.8),
    ],
)
def test_select_explores_as_the_draw_says(draw, first, propensity):
    plan = select(explored(draw))
    assert plan.candidates[0].model_id == first
    assert plan.propensity == pytest.approx(propensity)


def test_select_explores_nothing_unless_the_policy_asks():
    plan = select(snapshot_of(draw=0.0))
    assert (plan.candidates[0].model_id, plan.propensity) == ("c/dear", 1.0)


def test_select_says_that_it_explores():
    assert any(r.startswith("explores a/cheap instead of c/dear") for r in
               select(explored(0.05)).reasons)  # fmt: skip


def test_select_falls_back_from_an_explored_model_to_the_usual_one():
    plan = select(explored(0.05))
    assert [one.model_id for one in plan.candidates] == ["a/cheap", "c/dear", "b/middle"]


def test_select_does_not_explore_what_cannot_be_paid_or_was_named():
    # the dear and the middle model do not fit: only the cheap one is left to ask
    assert select(explored(0.05, budgets=(budget_of("0.0006"),))).propensity == 1.0
    named = explored(0.05, features=features_of(model="c/dear"))
    assert select(named).propensity == 1.0


def test_select_explores_by_what_models_did_lately_where_that_is_known():
    lately = statistics_of("a/cheap", attempts=40, success_rate=0.1)
    middle = statistics_of("b/middle", attempts=40, success_rate=0.99)
    # the middle one is cheaper and better than the dear one's prior: it and the cheap one are left
    plan = select(explored(0.15, statistics=(lately, middle)))
    assert plan.candidates[0].model_id == "b/middle"


def test_replay_of_an_explored_decision_is_identical():
    snapshot = explored(0.05)
    assert replay(snapshot.to_json()) == select(snapshot)


def test_replay_explores_by_the_priors_of_then():
    # the cheap model was believed to beat the middle one: only it and the dear one are left
    then = statistics_of("a/cheap", prior_success=0.9), statistics_of("b/middle", prior_success=0.8)
    plan = select(explored(0.15, statistics=then))
    assert (plan.candidates[0].model_id, plan.propensity) == ("a/cheap", pytest.approx(0.2))
