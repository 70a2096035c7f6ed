"""Verified escalation: cheap first, check, then dearer, when that is worth more than one call.

A chain has up to three steps of ascending price. A step's answer that its check accepts is the
answer; the last step's answer is delivered whatever the check says. What a step brings after others
failed is known by its own counts (`Kind.failed_before`), because the work that is left is harder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from models.learning.checks import AgreementRates, Check
from models.learning.pareto import Option, pareto_front
from models.learning.priorities import Aim

STEPS_MAX = 3
ARMS_MAX = 6  # 6 + 15 + 20 chains are compared, in about 0.1 ms
# By how much, as a share of the value, a chain must beat the best single call, which is quicker,
# and a new chain the present one.
GAIN_MIN, MARGIN = 0.002, 0.01

SuccessAfter = Callable[[str, int], float]
"""P(success) of a model once so many answers of cheaper ones were rejected."""


class Ceiling(NamedTuple):
    """The most that all steps together may cost and take, should every one of them be needed."""

    cost_usd: float | None = None
    latency_ms: float | None = None


class Chain(NamedTuple):
    """Models by ascending price, and what the whole chain brings on average."""

    models: tuple[str, ...]
    success: float
    cost_usd: float
    latency_ms: float
    utility_usd: float
    kind: str = "check"

    @property
    def escalates(self) -> bool:
        """Whether there is more than one step."""
        return len(self.models) > 1


class Verdict(NamedTuple):
    """The best chain and the best single call; `reason` compares them in words."""

    chain: Chain
    single: Chain
    reason: str

    @property
    def worth_it(self) -> bool:
        """Whether the chain escalates, that is, beats the single call."""
        return self.chain.escalates


NO_CEILING = Ceiling()


def planned_chain(
    options: Sequence[Option],
    after: SuccessAfter,
    check: Check,
    aim: Aim,
    ceiling: Ceiling = NO_CEILING,
    present: Sequence[str] = (),
) -> Verdict:
    """Return the chain with the highest expected utility, a single call unless it is beaten.

    The `present` chain stays unless another is better by `MARGIN`.

    At a value of $0.10, a model of 80 % at $0.0002 before one of 40 % (of what is left) at $0.003,
    with a true check: 0.8 + 0.2 * 0.4 = 0.88 for 0.0002 + 0.2 * 0.003 = $0.0008, utility $0.0872.
    """
    arms = undominated_arms(options, aim)
    best = single = best_single(arms, aim)
    for steps in _ascending(arms):
        if not fits(steps, ceiling):
            continue
        chain = _valued(steps, after, check, aim)
        if fits_limit(chain.latency_ms, aim.latency_ms_max):
            best = max(best, chain, key=lambda one: one.utility_usd)
    held = _present(options, present, after, check, aim)
    if held is not None and best.utility_usd - held.utility_usd < MARGIN * aim.value_usd:
        best = held
    if best.utility_usd - single.utility_usd < GAIN_MIN * aim.value_usd:
        best = single
    return Verdict(best, single, _reason(best, single, check))


def best_single(arms: Sequence[Option], aim: Aim) -> Chain:
    """Return the best single call, of those within the latency where there are any."""
    singles = [
        Chain((one.model_id,), one.success, one.cost_usd, one.latency_ms or 0.0,
              one.utility_usd(aim.value_usd))
        for one in arms
    ]  # fmt: skip
    within = [one for one in singles if fits_limit(one.latency_ms, aim.latency_ms_max)]
    return max(within or singles, key=lambda one: one.utility_usd)


def agreement_chain(
    pair: tuple[Option, Option], rates: AgreementRates, strong: Option, success_after: float,
    aim: Aim,
) -> Chain:  # fmt: skip
    """Return what it brings to ask two cheap models and a third one where they disagree.

    For work without a check. The two are asked at once, so the slower one counts.
    """
    first, second = pair
    rest = 1.0 - rates.agrees
    success = rates.agrees * rates.right_when_agreed + rest * success_after
    cost = first.cost_usd + second.cost_usd + rest * strong.cost_usd
    latency = max(first.latency_ms or 0.0, second.latency_ms or 0.0)
    return Chain(
        models=(first.model_id, second.model_id, strong.model_id),
        success=success,
        cost_usd=cost,
        latency_ms=latency + rest * (strong.latency_ms or 0.0),
        utility_usd=success * aim.value_usd - cost,
        kind="agreement",
    )


def _present(
    options: Sequence[Option], present: Sequence[str], after: SuccessAfter, check: Check, aim: Aim
) -> Chain | None:
    """Return the present chain as it is valued today, None when one of its models is gone."""
    known = {one.model_id: one for one in options}
    if len(present) < 2 or any(name not in known for name in present):
        return None
    return _valued(tuple(known[name] for name in present), after, check, aim)


def undominated_arms(options: Sequence[Option], aim: Aim) -> list[Option]:
    """Return the undominated options, cheapest first; of too many, the most useful ones."""
    front = pareto_front(options)
    if len(front) > ARMS_MAX:
        best = sorted(front, key=lambda one: -one.utility_usd(aim.value_usd))[:ARMS_MAX]
        front = [one for one in front if one in best]
    return front


def _ascending(arms: Sequence[Option]) -> Iterator[tuple[Option, ...]]:
    for steps in range(2, STEPS_MAX + 1):
        yield from combinations(arms, steps)


def _valued(steps: tuple[Option, ...], after: SuccessAfter, check: Check, aim: Aim) -> Chain:
    success = cost = latency = 0.0
    reached, last = 1.0, len(steps) - 1
    for number, step in enumerate(steps):
        right = step.success if number == 0 else after(step.model_id, number)
        cost += reached * step.cost_usd
        latency += reached * (step.latency_ms or 0.0)
        if number == last:
            success += reached * right
        else:
            success += reached * right * (1.0 - check.false_reject)
            reached *= 1.0 - check.accepts(right)
    utility = success * aim.value_usd - cost
    return Chain(tuple([step.model_id for step in steps]), success, cost, latency, utility)


def fits(steps: tuple[Option, ...], ceiling: Ceiling) -> bool:
    """Say whether all steps together stay below the ceiling."""
    return fits_limit(sum(step.cost_usd for step in steps), ceiling.cost_usd) and fits_limit(
        sum(step.latency_ms or 0.0 for step in steps), ceiling.latency_ms
    )


def fits_limit(amount: float, limit: float | None) -> bool:
    """Say whether an amount is within a limit, if there is one."""
    return limit is None or amount <= limit


def _reason(best: Chain, single: Chain, check: Check) -> str:
    alone = f"{single.models[0]} alone: {single.success:.0%} for ${single.cost_usd:.5f}"
    if not best.escalates:
        return f"no chain beats {alone}"
    return (
        f"{' > '.join(best.models)}: {best.success:.0%} for ${best.cost_usd:.5f}, against {alone}"
        f" (the check accepts {check.false_accept:.0%} of wrong answers and rejects"
        f" {check.false_reject:.0%} of right ones)"
    )
