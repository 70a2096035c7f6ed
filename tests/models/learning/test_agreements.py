"""Agreement of two models as a plan, and what a check's word is worth as a count of successes."""

from __future__ import annotations

import pytest

from models.learning.agreements import planned_agreement
from models.learning.checks import Agreement, Check
from models.learning.pareto import Option
from models.learning.priorities import Aim

CHEAP, OTHER = Option("a/cheap", 0.70, 0.0002), Option("b/other", 0.80, 0.0004)
STRONG = Option("c/strong", 0.86, 0.003)
AIM = Aim(0.10)


def after(_model: str, _failed: int) -> float:
    return 0.75


def test_agreement_is_planned_where_it_beats_every_single_call():
    verdict = planned_agreement((CHEAP, OTHER, STRONG), after, {}, AIM)
    # 0.56 + 0.06 / 4 = 0.575 agree; 0.56 + 0.425 * 0.75 = 0.87875 for 0.0006 + 0.425 * 0.003,
    # worth 0.0860; alone the strong one brings 0.086 - 0.003 = 0.083, the other 0.0796
    assert verdict.chain.models == ("a/cheap", "b/other", "c/strong")
    assert verdict.chain.success == pytest.approx(0.87875)
    assert verdict.chain.cost_usd == pytest.approx(0.001875)
    assert verdict.single.models == ("c/strong",)


def test_no_two_models_are_asked_when_the_third_is_too_dear():
    dear = STRONG._replace(cost_usd=0.03)
    verdict = planned_agreement((CHEAP, OTHER, dear), after, {}, AIM)
    # 0.087875 - 0.0006 - 0.425 * 0.03 = 0.0745, less than the 0.0796 of the other one alone
    assert verdict.chain.models == ("b/other",)


def test_agreement_is_given_up_when_the_two_mostly_differ():
    options = (CHEAP, OTHER, STRONG)
    assert planned_agreement(options, after, {}, AIM).worth_it
    seen = {("a/cheap", "b/other"): Agreement(agreed_right=5, disagreed=300)}
    assert not planned_agreement(options, after, seen, AIM).worth_it


def test_agreement_without_a_word_on_its_truth_counts_for_the_share_only():
    rates = Agreement(agreed_unknown=80, disagreed=20).rates(0.7, 0.8)
    # (0.575 * 20 + 80) / 120 = 0.7625; right when agreed stays 0.56 / 0.575
    assert rates.agrees == pytest.approx(0.7625)
    assert rates.right_when_agreed == pytest.approx(0.56 / 0.575)


@pytest.mark.parametrize(
    ("check", "accepted", "weight", "right"),
    [
        (Check(), 80, 100, 80),
        (Check(0.2, 0.1), 80, 70, 60),  # 80 - 0.2 * 100 of 100 * 0.7
        (Check(0.2, 0.1), 10, 70, 0),  # fewer than wrong answers alone would bring
        (Check(0.8, 0.05), 98, 15, 15),
        (Check(0.6, 0.5), 70, 0, 0),  # it cannot tell right from wrong
    ],
)
def test_outcomes_count_as_far_as_their_check_can_tell(check, accepted, weight, right):
    assert check.evidence(accepted, 100) == pytest.approx((weight, right))
