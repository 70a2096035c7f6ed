"""The learned order: what beats what, patience, a silent collapse, recovery, exploration."""

from __future__ import annotations

from random import Random

import pytest

from models.learning.kinds import Kind
from models.learning.options import options_for
from models.learning.pareto import Option, pareto_front
from models.learning.posteriors import Belief, Outcomes, Posteriors
from models.learning.priorities import Aim, by_utility, explored, settled_order

CHEAP = Option("a/cheap", 0.80, 0.0002, 900.0, 100.0)
WORSE = Option("a/worse", 0.70, 0.0010, 900.0, 100.0)
DEAR = Option("c/dear", 0.85, 0.0050, 3000.0, 100.0)
FIX = Kind("fix_bug")


def test_pareto_front_leaves_out_what_is_dearer_and_worse():
    assert pareto_front([DEAR, WORSE, CHEAP]) == [CHEAP, DEAR]


@pytest.mark.parametrize(
    ("value_usd", "first"),
    [
        (0.02, "a/cheap"),  # 0.80 * 0.02 - 0.0002 = 0.0158 against 0.85 * 0.02 - 0.005 = 0.0120
        (1.00, "c/dear"),  # 0.7998 against 0.8450
    ],
)
def test_by_utility_weighs_success_against_cost(value_usd, first):
    assert by_utility([CHEAP, WORSE, DEAR], Aim(value_usd))[0].model_id == first


def test_by_utility_puts_models_above_the_latency_last():
    order = by_utility([CHEAP, DEAR], Aim(1.0, latency_ms_max=2000))
    assert [one.model_id for one in order] == ["a/cheap", "c/dear"]


def test_by_utility_ignores_the_latency_when_no_model_keeps_it():
    assert by_utility([CHEAP, DEAR], Aim(1.0, latency_ms_max=10))[0].model_id == "c/dear"


def test_settled_order_keeps_the_first_choice_when_the_advantage_is_small():
    rival = CHEAP._replace(model_id="b/rival", success=0.82, cost_usd=0.0003)
    assert settled_order(["a/cheap"], [CHEAP, rival], Aim(0.1)).models[0] == "a/cheap"


def test_settled_order_keeps_the_first_choice_when_it_has_little_evidence():
    fresh = CHEAP._replace(success=0.3, evidence=5.0)
    assert settled_order(["a/cheap"], [fresh, DEAR], Aim(1.0)).models[0] == "a/cheap"


def test_settled_order_demotes_a_clearly_worse_model_and_says_why():
    order = settled_order(["a/cheap"], [CHEAP._replace(success=0.4), DEAR], Aim(1.0))
    assert order.models == ("c/dear", "a/cheap")
    assert "c/dear before a/cheap: 85%" in order.reason


def test_settled_order_demotes_a_model_that_exceeds_the_latency():
    order = settled_order(["c/dear"], [CHEAP, DEAR], Aim(1.0, latency_ms_max=2000))
    assert order.models[0] == "a/cheap"
    assert "3000 ms" in order.reason


@pytest.mark.parametrize("seed", range(20))
def test_a_model_that_halves_silently_is_demoted_within_100_of_its_requests(seed):
    random, posteriors, present = Random(seed), Posteriors(), ["a/one", "b/two"]
    beliefs = {"a/one": Belief(0.85, 20, 0.001), "b/two": Belief(0.80, 20, 0.001)}
    for _ in range(600):
        posteriors.record("a/one", FIX, Outcomes(float(random.random() < 0.85), 0.001))
        order = settled_order(present, options_for(posteriors, FIX, beliefs), Aim(0.1))
        present = list(order.models)
    assert present[0] == "a/one"
    for _ in range(100):
        posteriors.record("a/one", FIX, Outcomes(float(random.random() < 0.425), 0.001))
        order = settled_order(present, options_for(posteriors, FIX, beliefs), Aim(0.1))
        if order.models[0] == "b/two":
            break
    assert order.models[0] == "b/two"


def test_a_demoted_model_is_promoted_again_when_its_outcomes_recover():
    posteriors = Posteriors()
    beliefs = {"a/one": Belief(0.9, 20, 0.001), "b/two": Belief(0.7, 20, 0.001)}
    posteriors.record("a/one", FIX, Outcomes(10, 0.1, None, 100))
    posteriors.record("b/two", FIX, Outcomes(70, 0.1, None, 100))
    present = settled_order(["a/one"], options_for(posteriors, FIX, beliefs), Aim(0.1)).models
    assert present[0] == "b/two"
    posteriors.record("a/one", FIX, Outcomes(190, 0.1, None, 200))  # fallbacks, audits, canaries
    assert (
        settled_order(present, options_for(posteriors, FIX, beliefs), Aim(0.1)).models[0] == "a/one"
    )


def test_a_demoted_model_without_requests_is_tried_again_once_it_is_forgotten():
    posteriors = Posteriors()
    beliefs = {"a/one": Belief(0.9, 20, 0.001), "b/two": Belief(0.7, 20, 0.001)}
    posteriors.record("a/one", FIX, Outcomes(10, 0.1, None, 100))
    posteriors.record("b/two", FIX, Outcomes(70, 0.1, None, 100))
    for _ in range(8):
        posteriors.forget("a/one", 0.5)
    assert (
        settled_order(["b/two"], options_for(posteriors, FIX, beliefs), Aim(0.1)).models[0]
        == "a/one"
    )


def test_explored_moves_nothing_when_no_policy_asks_for_it():
    found = explored(["a/cheap", "c/dear"], [CHEAP, DEAR], share=0.0, draw=0.0)
    assert found == (("a/cheap", "c/dear"), 1.0)


def test_explored_says_how_likely_each_choice_was():
    options = [CHEAP, WORSE, DEAR]
    order = ("a/cheap", "c/dear", "a/worse")
    stays = explored(order, options, share=0.1, draw=0.5)
    moves = explored(order, options, share=0.1, draw=0.05)
    assert stays == (order, 0.9)
    assert moves == (("c/dear", "a/cheap", "a/worse"), 0.1)  # a/worse is dominated: never explored
