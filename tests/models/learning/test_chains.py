"""Chains: when escalating pays, what the check's errors do to it, and its ceilings."""

from __future__ import annotations

import pytest

from models.learning.chains import Ceiling, agreement_chain, planned_chain
from models.learning.checks import TRUE_CHECK, Agreement, Check, CheckAudits
from models.learning.pareto import Option
from models.learning.priorities import Aim

CHEAP = Option("a/cheap", 0.80, 0.0002, 500.0)
DEAR = Option("b/dear", 0.85, 0.0030, 900.0)
AIM = Aim(0.10)


def after(model_id: str, failed_before: int) -> float:
    return 0.4 if failed_before == 1 else 0.2


def test_planned_chain_beats_the_best_single_call_when_the_check_is_true():
    verdict = planned_chain([CHEAP, DEAR], after, TRUE_CHECK, AIM)
    assert verdict.chain.models == ("a/cheap", "b/dear")
    assert verdict.chain.success == pytest.approx(0.80 + 0.20 * 0.40)
    assert verdict.chain.cost_usd == pytest.approx(0.0002 + 0.20 * 0.0030)
    assert verdict.single.models == ("b/dear",)  # 0.082 against 0.0798
    assert verdict.worth_it and "accepts 0% of wrong" in verdict.reason


def test_planned_chain_is_a_single_call_when_the_check_accepts_nearly_everything():
    verdict = planned_chain([CHEAP, DEAR], after, Check(false_accept=0.9), AIM)
    assert not verdict.worth_it and verdict.chain.models == ("b/dear",)


def test_planned_chain_is_worth_less_the_more_wrong_answers_the_check_accepts():
    utilities = [
        planned_chain([CHEAP, DEAR], after, Check(rate), AIM).chain.utility_usd
        for rate in (0.0, 0.05, 0.2, 0.4)
    ]
    assert utilities == sorted(utilities, reverse=True)


def test_planned_chain_never_goes_from_dear_to_cheap():
    worse = Option("c/worse", 0.9, 0.01, 900.0)
    models = planned_chain([worse, DEAR, CHEAP], after, TRUE_CHECK, Aim(1.0)).chain.models
    prices = {one.model_id: one.cost_usd for one in (worse, DEAR, CHEAP)}
    assert list(models) == sorted(models, key=prices.__getitem__) and len(models) <= 3


def test_planned_chain_keeps_the_cost_ceiling_of_all_steps_together():
    verdict = planned_chain([CHEAP, DEAR], after, TRUE_CHECK, AIM, Ceiling(cost_usd=0.0031))
    assert not verdict.worth_it  # 0.0002 + 0.0030 = 0.0032


def test_planned_chain_keeps_the_time_ceiling_of_all_steps_together():
    verdict = planned_chain([CHEAP, DEAR], after, TRUE_CHECK, AIM, Ceiling(latency_ms=1300))
    assert not verdict.worth_it


def test_planned_chain_stays_with_the_present_one_when_another_is_barely_better():
    twin = Option("a/twin", 0.801, 0.00021, 500.0)
    alike = {"a/twin": 0.02, "b/dear": 0.4}
    verdict = planned_chain(
        [CHEAP, twin, DEAR],
        lambda name, _: alike[name],
        TRUE_CHECK,
        AIM,
        present=("a/cheap", "b/dear"),
    )
    assert verdict.chain.models == ("a/cheap", "b/dear")


def test_agreement_chain_pays_the_third_model_only_for_disagreements():
    rates = Agreement().rates(0.8, 0.8)
    pair = (CHEAP, CHEAP._replace(model_id="b/cheap"))
    chain = agreement_chain(pair, rates, DEAR, 0.6, AIM)
    assert rates.right_when_agreed > 0.95
    assert chain.cost_usd == pytest.approx(0.0004 + (1 - rates.agrees) * 0.0030)
    assert chain.kind == "agreement" and chain.success > 0.8


def test_agreement_learns_from_audits():
    agreement = Agreement()
    agreement.record(agreed=True, right=False, times=200)
    agreement.record(agreed=False, right=False, times=20)
    assert agreement.rates(0.8, 0.8).right_when_agreed < 0.15


def test_check_tells_the_truth_of_accepted_and_rejected_answers():
    check = Check(false_accept=0.2, false_reject=0.1)
    assert check.truth(0.8, accepted=True) == pytest.approx(0.72 / 0.76)
    assert check.truth(0.8, accepted=False) == pytest.approx(0.08 / 0.24)
    assert TRUE_CHECK.truth(0.8, accepted=True) == 1.0


def test_check_audits_measure_the_error_rates():
    audits = CheckAudits()
    audits.record(accepted=True, right=False, times=120)
    audits.record(accepted=False, right=False, times=180)
    audits.record(accepted=False, right=True, times=30)
    audits.record(accepted=True, right=True, times=270)
    check = audits.check()
    assert check.false_accept == pytest.approx(121 / 320)  # (0.05 * 20 + 120) / (20 + 300)
    assert check.false_reject == pytest.approx(31 / 320)
    assert CheckAudits(**audits.document()) == audits
