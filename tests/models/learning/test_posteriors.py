"""Estimates from outcomes: pooling, discounting, difficulty, and their JSON form."""

from __future__ import annotations

import json

import pytest

from models.learning.kinds import Kind
from models.learning.posteriors import Belief, Outcomes, Posteriors, posteriors_from, posteriors_of

FIX, TESTS = Kind("fix_bug"), Kind("write_tests")
HALF = Belief(0.5, 20.0, 0.001)


def test_estimate_is_the_belief_when_nothing_was_seen():
    found = Posteriors().estimate("a/one", FIX, Belief(0.8, 20.0, 0.002, 900.0))
    assert found.success == pytest.approx(0.8)
    assert (found.evidence, found.cost_usd, found.latency_ms) == (0.0, 0.002, 900.0)


def test_estimate_follows_the_outcomes_when_there_are_many():
    posteriors = Posteriors(discount=1.0)
    posteriors.record("a/one", FIX, Outcomes(900, 5.0, 800_000.0, 1000))
    found = posteriors.estimate("a/one", FIX, HALF)
    assert found.success == pytest.approx(0.9, abs=0.01)
    assert found.cost_usd == pytest.approx(0.005, rel=0.01)
    assert found.latency_ms == pytest.approx(800, rel=0.01)


def test_estimate_of_an_unseen_type_leans_on_the_other_types():
    posteriors = Posteriors()
    posteriors.record("a/one", FIX, Outcomes(95, 0.1, None, 100))
    assert posteriors.estimate("a/one", TESTS, HALF).success > 0.6


def test_estimate_of_a_cell_leans_on_its_type_when_the_cell_has_few_outcomes():
    posteriors = Posteriors(discount=1.0)
    posteriors.record("a/one", FIX, Outcomes(80, 0.1, None, 100))
    hard = Kind("fix_bug", "complex")
    before, of_type = (posteriors.estimate("a/one", kind, HALF).success for kind in (hard, FIX))
    posteriors.record("a/one", hard, Outcomes(0, 0.01, None, 10))
    after = posteriors.estimate("a/one", hard, HALF).success
    assert before == pytest.approx(of_type)
    assert 0.2 < after < before - 0.1


def test_estimates_tell_a_hard_type_from_a_bad_model():
    posteriors = Posteriors(discount=1.0)
    beliefs = dict.fromkeys(("a/one", "b/two"), Belief(0.8, 20.0, 0.001))
    posteriors.record("a/one", FIX, Outcomes(30, 0.1, None, 100))  # hard for the one that serves it
    for name in beliefs:
        posteriors.record(name, TESTS, Outcomes(80, 0.1, None, 100))
    found = posteriors.estimates(FIX, beliefs)
    assert found["a/one"].success < 0.4
    assert found["b/two"].success < 0.7  # it would not do wonders there either


def test_record_forgets_old_outcomes_when_new_ones_come():
    posteriors = Posteriors()
    posteriors.record("a/one", FIX, Outcomes(500, 0.5, None, 500))
    posteriors.record("a/one", FIX, Outcomes(0, 0.5, None, 500))
    assert posteriors.estimate("a/one", FIX, HALF).success < 0.15


def test_record_of_a_sum_equals_single_outcomes_when_all_are_alike():
    one_by_one, at_once = Posteriors(), Posteriors()
    for _ in range(50):
        one_by_one.record("a/one", FIX, Outcomes(1.0, 0.002, 700.0))
    at_once.record("a/one", FIX, Outcomes(50.0, 0.1, 35_000.0, 50))
    for key, cell in one_by_one.cells.items():
        assert cell.weight == pytest.approx(at_once.cells[key].weight)
        assert cell.successes == pytest.approx(at_once.cells[key].successes)
        assert cell.latency_ms == pytest.approx(at_once.cells[key].latency_ms)


def test_record_changes_nothing_when_there_are_no_outcomes():
    posteriors = Posteriors()
    posteriors.record("a/one", FIX, Outcomes(0.0, 0.0, None, 0))
    assert posteriors.cells == {}


def test_second_attempts_are_counted_apart():
    posteriors = Posteriors(discount=1.0)
    posteriors.record("a/one", FIX, Outcomes(90, 0.1, None, 100))
    first = posteriors.estimate("a/one", FIX, HALF).success
    second = Kind("fix_bug", failed_before=1)
    assert posteriors.estimate("a/one", second, HALF).success < first  # what is left is harder
    posteriors.record("a/one", second, Outcomes(2, 0.01, None, 40))
    assert posteriors.estimate("a/one", second, HALF).success < 0.3
    assert posteriors.estimate("a/one", FIX, HALF).success == pytest.approx(first)


def test_forget_leads_back_to_the_belief():
    posteriors = Posteriors()
    posteriors.record("a/one", FIX, Outcomes(0, 0.1, None, 100))
    low = posteriors.estimate("a/one", FIX, HALF).success
    for _ in range(10):
        posteriors.forget("a/one", 0.5)
    assert low < 0.1 < 0.4 < posteriors.estimate("a/one", FIX, HALF).success


def test_document_is_json_and_gives_equal_posteriors_back():
    rows = [
        ("a/one", Kind("fix_bug", "simple"), Outcomes(1.0, 0.002, 700.0)),
        ("b/two", Kind("fix_bug", "simple", 1), Outcomes(0.0, 0.02)),
    ]
    made = posteriors_of(rows)
    assert posteriors_from(json.loads(json.dumps(made.document()))) == made
