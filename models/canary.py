"""The canary: a new policy version that serves a share of requests until it is judged.

The rule is a sequential test that may be looked at any number of times: the difference of success
and of cost per request, canary less present version, each with a confidence sequence (normal
mixture; Waudby-Smith et al., arXiv 2103.06476, theorem 2.2) that holds the truth at all looks
together in 95 of 100 canaries. It is rolled back when it is surely worse than is borne, promoted
when it surely is not, and goes on serving its share while neither is sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from math import inf, log, sqrt

from pydantic import BaseModel, ConfigDict, Field

from models.errors import InvalidPolicy
from models.policy import Policy, PolicyChoice

ERROR = 0.05  # of one confidence sequence, over all looks
TUNED_FOR = 200  # requests of the canary at which the sequence is tightest
REQUESTS_MIN = 30  # of each version, before anything is judged
SUCCESS_DROP_BORNE = 0.01  # surely more than this: rolled back
SPEND_RISE_BORNE = 0.10  # of the present mean cost, likewise
SUCCESS_DROP_MAX = 0.05  # surely less than this, and ...
SPEND_RISE_MAX = 0.25  # ... this: promoted


class Arm(BaseModel):
    """What one version did since the canary began; costs in USD, as statistics."""

    model_config = ConfigDict(frozen=True)

    requests: int = 0
    successes: int = 0
    cost_usd_avg: float = 0.0
    cost_usd_variance: float = 0.0

    @property
    def success_rate(self) -> float:
        """The share of right answers; 0 while there is no request."""
        return self.successes / self.requests if self.requests else 0.0


class CanaryMove(StrEnum):
    """What the evidence asks for."""

    WAIT = "wait"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"


class Verdict(BaseModel):
    """The move with its reason; the bounds are of canary less present version."""

    model_config = ConfigDict(frozen=True)

    move: CanaryMove
    reason: str
    success_low: float | None = Field(None, description="Null before both versions have served")
    success_high: float | None = None
    cost_usd_low: float | None = None
    cost_usd_high: float | None = None


def judged(present: Arm, canary: Arm) -> Verdict:
    """Return what to do with a canary.

    200 of 200 right against 1,800 of 2,000 at the same cost: +0.10 with a radius of
    3.03 * sqrt(0.005 * 0.995 / 200 + 0.9 * 0.1 / 2000) = 0.025, so it is promoted.
    """
    if min(present.requests, canary.requests) < REQUESTS_MIN:
        reason = (
            f"{canary.requests} requests of the canary and {present.requests} of the present"
            f" version: {REQUESTS_MIN} of each are needed"
        )
        return Verdict(move=CanaryMove.WAIT, reason=reason)
    success = _bounds(
        canary.success_rate - present.success_rate, _rate_error(present, canary), canary.requests
    )
    cost = _bounds(
        canary.cost_usd_avg - present.cost_usd_avg, _cost_error(present, canary), canary.requests
    )
    move, reason = _move(present, success, cost)
    return Verdict(
        move=move,
        reason=f"{reason} ({_said(present, canary)})",
        success_low=success[0],
        success_high=success[1],
        cost_usd_low=cost[0],
        cost_usd_high=cost[1],
    )


def _move(
    present: Arm, success: tuple[float, float], cost: tuple[float, float]
) -> tuple[CanaryMove, str]:
    usual = present.cost_usd_avg
    if success[1] < -SUCCESS_DROP_BORNE:
        reason = f"success is surely lower, by at least {-success[1]:.1%}"
        return CanaryMove.ROLL_BACK, reason
    if cost[0] > SPEND_RISE_BORNE * usual and cost[0] > 0.0:
        return CanaryMove.ROLL_BACK, f"a request surely costs more, by at least ${cost[0]:.6f}"
    if success[0] > -SUCCESS_DROP_MAX and cost[1] <= SPEND_RISE_MAX * usual:
        reason = (
            f"success is surely not lower by more than {SUCCESS_DROP_MAX:.0%}, nor the cost higher"
            f" by more than {SPEND_RISE_MAX:.0%}"
        )
        return CanaryMove.PROMOTE, reason
    return CanaryMove.WAIT, "neither a regression nor its absence is sure yet"


def _said(present: Arm, canary: Arm) -> str:
    return (
        f"canary {canary.success_rate:.1%} of {canary.requests} right at"
        f" ${canary.cost_usd_avg:.6f}, present {present.success_rate:.1%} of {present.requests}"
        f" at ${present.cost_usd_avg:.6f}"
    )


def _bounds(difference: float, error: float, requests: int) -> tuple[float, float]:
    radius = error * _factor(requests)
    return difference - radius, difference + radius


def _factor(requests: int) -> float:
    """Return by what a standard error is multiplied to hold at all looks; 3.03 at 200 requests."""
    if not requests:
        return inf
    tuned = (-2 * log(ERROR) + log(-2 * log(ERROR) + 1)) / TUNED_FOR
    seen = requests * tuned
    return sqrt(2 * (seen + 1) / seen * log(sqrt(seen + 1) / ERROR))


def _rate_error(present: Arm, canary: Arm) -> float:
    """Return the standard error of the difference of rates; one right and one wrong are added."""
    variance = 0.0
    for arm in (present, canary):
        rate = (arm.successes + 1) / (arm.requests + 2)
        variance += rate * (1 - rate) / arm.requests
    return sqrt(variance)


def _cost_error(present: Arm, canary: Arm) -> float:
    return sqrt(sum(arm.cost_usd_variance / arm.requests for arm in (present, canary)))


def with_canary(choice: PolicyChoice, policies: Sequence[Policy], key: str) -> PolicyChoice:
    """Return the canary's version in place of the chosen one, for its share of the keys.

    A request that comes again under its key meets the same version while the canary runs.
    """
    for policy in policies:
        share = policy.canary_share
        if share is None or policy.name != choice.policy.name:
            continue
        if _position(policy, key) < share:
            reason = (
                f"{choice.reason}; canary version {policy.version} in place of"
                f" {choice.policy.version}, for {share:.1%} of requests"
            )
            return PolicyChoice(policy, reason)
    return choice


def _position(policy: Policy, key: str) -> float:
    digest = sha256(f"{policy.name}:{policy.version}:{key}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def refuse_share(share: float) -> None:
    """Raise InvalidPolicy for a share that compares nothing."""
    if not 0.0 < share < 1.0:
        raise InvalidPolicy((f"canary: a share of {share:g} is not between 0 and 1",))


def one_policy(policies: Sequence[Policy]) -> Policy:
    """Return the only one; raises InvalidPolicy: each canary has a share and an end of its own."""
    if len(policies) != 1:
        raise InvalidPolicy((f"canary: one policy at a time, not {len(policies)}",))
    return policies[0]
