"""The rule that promotes a policy version on trial or rolls it back, and who meets it."""

from __future__ import annotations

import random

import pytest

from models.canary import Arm, CanaryMove, judged, with_canary
from models.policy import Policy, PolicyChoice, policy_for
from tests.models.builders import policy_of


def arm(requests: int, rate: float, usd: float = 0.01, variance: float = 1e-6) -> Arm:
    return Arm(
        requests=requests,
        successes=round(requests * rate),
        cost_usd_avg=usd,
        cost_usd_variance=variance,
    )


@pytest.mark.parametrize(
    ("present", "canary", "move"),
    [
        # too little of either: nothing is sure
        (arm(2000, 0.9), arm(29, 0.0), CanaryMove.WAIT),
        (arm(29, 0.9), arm(500, 0.9), CanaryMove.WAIT),
        # 30 requests, none right: 0.9 lower, radius 3.9 * sqrt(0.03 * 0.97 / 30) = 0.12
        (arm(2000, 0.9), arm(30, 0.0), CanaryMove.ROLL_BACK),
        # 80 % against 90 %: radius 3.1 * sqrt(0.8 * 0.2 / 400) = 0.06, so at least 4 points lower
        (arm(2000, 0.9), arm(400, 0.8), CanaryMove.ROLL_BACK),
        # the same with 60 requests: radius 3.4 * 0.052 = 0.18
        (arm(2000, 0.9), arm(60, 0.8), CanaryMove.WAIT),
        # as good and as dear: radius 3.2 * sqrt(0.9 * 0.1 / 1000) = 0.03 is below 5 points
        (arm(9000, 0.9), arm(1000, 0.9), CanaryMove.PROMOTE),
        # better and cheaper
        (arm(2000, 0.9), arm(200, 1.0, usd=0.005), CanaryMove.PROMOTE),
        # as good, but half as much again: 0.015 against 0.010, radius 0.0002
        (arm(2000, 0.9), arm(200, 1.0, usd=0.015), CanaryMove.ROLL_BACK),
        # 8 % dearer is borne
        (arm(9000, 0.9), arm(1000, 0.9, usd=0.0108), CanaryMove.PROMOTE),
        # costs that vary so much that nothing is sure
        (arm(9000, 0.9), arm(1000, 0.9, variance=0.01), CanaryMove.WAIT),
    ],
)
def test_canary_is_moved_only_by_what_is_sure(present, canary, move):
    assert judged(present, canary).move is move


def test_free_models_are_compared_by_success_alone():
    verdict = judged(arm(9000, 0.9, usd=0.0, variance=0.0), arm(1000, 0.9, usd=0.0, variance=0.0))
    assert verdict.move is CanaryMove.PROMOTE


def test_reason_says_what_both_versions_did():
    reason = judged(arm(2000, 0.9), arm(400, 0.8)).reason
    assert "surely lower" in reason
    assert "canary 80.0% of 400 right at $0.010000, present 90.0% of 2000 at $0.010000" in reason


def test_equal_versions_are_rolled_back_in_few_trials_however_often_one_looks():
    rng, rolled_back = random.Random(5), 0
    for _ in range(100):
        right = [0, 0]
        for number in range(1, 601):
            right[0] += sum(rng.random() < 0.85 for _ in range(4))
            right[1] += rng.random() < 0.85
            if number % 25:
                continue
            present = Arm(requests=4 * number, successes=right[0])
            verdict = judged(present, Arm(requests=number, successes=right[1]))
            if verdict.move is not CanaryMove.WAIT:
                rolled_back += verdict.move is CanaryMove.ROLL_BACK
                break
    assert rolled_back <= 5


def on_trial(share: float) -> list[Policy]:
    trial = policy_of("b/y", version=8).model_copy(update={"canary_share": share})
    return [policy_of("a/x", version=7), trial]


def chosen(policies: list[Policy], key: str) -> PolicyChoice:
    return with_canary(policy_for("fix_bug", policies), policies, key)


def test_share_of_keys_meets_the_canary_and_each_key_always_the_same_version():
    policies = on_trial(0.2)
    versions = [chosen(policies, f"k{n}").policy.version for n in range(1000)]
    assert 150 <= versions.count(8) <= 250
    assert versions == [chosen(policies, f"k{n}").policy.version for n in range(1000)]


def test_reason_names_the_canary_and_the_version_it_stands_for():
    policies = on_trial(0.999)
    assert chosen(policies, "k").reason.endswith(
        "; canary version 8 in place of 7, for 99.9% of requests"
    )


def test_canary_of_another_policy_is_not_met_and_claims_nothing():
    trial = policy_of("b/y", name="code", task_types=["fix_bug"], version=2)
    policies = [policy_of("a/x"), trial.model_copy(update={"canary_share": 0.999})]
    assert chosen(policies, "k").policy.name == "normal"


def test_share_is_the_servers_and_not_part_of_the_stored_policy():
    trial = on_trial(0.2)[1]
    assert "canary_share" not in trial.stored()
