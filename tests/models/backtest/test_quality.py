"""The doubly robust estimate: its arithmetic, what it says it cannot know, and its calibration."""

from __future__ import annotations

from uuid import UUID

import pytest

from benchmarks.backtest.calibration import Setting, coverage
from benchmarks.backtest.world import synthetic
from models.backtest.direct import DirectModel, direct_model
from models.backtest.past import Past, Step
from models.backtest.quality import Quality, QualitySums, explored_by
from models.learning.kinds import Kind
from models.learning.posteriors import Belief

KIND = Kind("fix_bug", "moderate")
# Beliefs so heavy that the record cannot move them: the arithmetic below is exact.
BELIEFS = {"a": Belief(0.5, 1e12, 0.0), "b": Belief(0.8, 1e12, 0.0)}
RIGHT, WRONG = 1.0, 0.0


def past(number: int, *steps: Step, propensity: float = 1.0, planned: int | None = None) -> Past:
    planned = len(steps) if planned is None else planned
    return Past(UUID(int=number), KIND, "rule", propensity, planned, steps)


def step(model_id: str, right: float, *, accepted: bool = True) -> Step:
    return Step(model_id, accepted, right)


def quality_of(record: list[Past], *way: str) -> Quality:
    direct = fixed_model()
    sums = QualitySums(explored_by(record))
    for one in record:
        sums.add(one, way, direct)
    return sums.quality(direct)


def fixed_model() -> DirectModel:
    """0.5 for a and 0.8 for b, after failures too; half of all failures are noticed."""

    class Fixed(DirectModel):
        def success(self, fold: int, kind: Kind, model_id: str, failed_before: int = 0) -> float:
            return BELIEFS[model_id].success

    return Fixed(BELIEFS, [], [0.5] * 5, {})


@pytest.mark.parametrize(
    ("record", "way", "value"),
    [
        # the same model: what happened is the answer, whatever was expected
        ([past(1, step("a", RIGHT)), past(2, step("a", WRONG))], ("a",), 0.5),
        ([past(1, step("a", RIGHT))], ("a",), 1.0),
        # another model, never tried: only the direct model speaks
        ([past(1, step("a", RIGHT))], ("b",), 0.8),
        # explored: (0.8 + 4 * (1 - 0.8) + 0.8) / 2 = 1.2, bounded to 1
        ([past(1, step("b", RIGHT), propensity=0.25), past(2, step("a", RIGHT), propensity=0.75)],
         ("b",), 1.0),
        # 0.8 + 4 * (0 - 0.8) = -2.4 and 0.8 three times: 0 / 4
        ([past(1, step("b", WRONG), propensity=0.25),
          *(past(n, step("a", RIGHT), propensity=0.75) for n in (2, 3, 4))], ("b",), 0.0),
        # a noticed failure goes on to the recorded second model
        ([past(1, step("a", WRONG, accepted=False), step("b", RIGHT))], ("a", "b"), 1.0),
        # ... or to one that the record does not know there
        ([past(1, step("a", WRONG, accepted=False))], ("a", "b"), 0.8),
        # an attempt that was stopped for good has no second model
        ([past(1, step("a", WRONG, accepted=False), planned=2)], ("a", "b"), 0.0),
        # a wrong answer that nobody noticed is the end
        ([past(1, step("a", WRONG), planned=2)], ("a", "b"), 0.0),
        # never asked: 0.5 + 0.5 * 0.5 * 0.8 = 0.7
        ([past(1, step("b", RIGHT))], ("a", "b"), 0.7),
        # refused now: nothing is right
        ([past(1, step("a", RIGHT))], (), 0.0),
    ],
)  # fmt: skip
def test_value_of_a_way_is_what_happened_where_it_did_and_expected_where_not(record, way, value):
    assert quality_of(record, *way).estimate.value == pytest.approx(value)


def test_record_without_such_a_choice_is_said_to_be_the_models_word_only():
    record = [past(n, step("a", RIGHT)) for n in range(3)]
    assert quality_of(record, "b").model_based_share == 1.0
    assert quality_of(record, "b").effective_sample == 0.0
    assert quality_of(record, "a").model_based_share == 0.0
    assert quality_of(record, "a").effective_sample == 3.0


def test_choice_that_chance_made_elsewhere_answers_for_the_rest_of_its_group():
    seen = past(1, step("b", RIGHT), propensity=0.1)
    drawn = past(2, step("a", RIGHT), propensity=0.9)
    certain = past(3, step("a", RIGHT))
    assert quality_of([seen, drawn], "b").model_based_share == 0.0
    assert quality_of([seen, drawn, certain], "b").model_based_share == pytest.approx(1 / 3)


def test_effective_sample_falls_with_uneven_weights():
    # weights 2, 2 and 10: 14 ** 2 / (4 + 4 + 100) = 1.81
    record = [past(n, step("b", RIGHT), propensity=p) for n, p in enumerate((0.5, 0.5, 0.1))]
    assert quality_of(record, "b").effective_sample == pytest.approx(1.81, abs=0.01)


def test_models_doubt_widens_the_interval_of_what_nobody_recorded():
    record = [past(n, step("a", float(n % 2))) for n in range(100)]
    beliefs = {"a": Belief(0.5, 8.0, 0.0), "b": Belief(0.8, 8.0, 0.0)}
    direct = direct_model(record, beliefs)
    sums = QualitySums(explored_by(record))
    for one in record:
        sums.add(one, ("b",), direct)
    found = sums.quality(direct).estimate
    # 0.8 from 8 outcomes' worth of prior: 1.64 * sqrt(0.8 * 0.2 / 9) = 0.22 on each side
    assert found.value - found.low == pytest.approx(0.22, abs=0.01)


def test_no_decision_helps_to_predict_itself():
    beliefs = {"a": Belief(0.5, 2.0, 0.0)}
    one = past(0, step("a", RIGHT))
    alone = direct_model([one], beliefs)
    assert alone.success(one.fold, KIND, "a") == pytest.approx(0.5)
    assert alone.success((one.fold + 1) % 5, KIND, "a") > 0.5


@pytest.mark.parametrize("target", ["best by type", "cheapest"])
def test_interval_holds_the_truth_in_85_of_100_records(target):
    world = synthetic(seed=3, requests=2000, models=4, types=3)
    found = coverage(world, Setting(200, 0.4), target, resamples=100, seed=11)
    assert found.held >= 85, found
    assert found.width < 0.4
