"""Agreement of two cheap models, planned: which pair, and whom to ask where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from models.learning.chains import (
    GAIN_MIN,
    MARGIN,
    NO_CEILING,
    Ceiling,
    Chain,
    SuccessAfter,
    Verdict,
    agreement_chain,
    best_single,
    fits,
    fits_limit,
    undominated_arms,
)
from models.learning.checks import Agreement
from models.learning.pareto import Option
from models.learning.priorities import Aim

Agreements = Mapping[tuple[str, str], Agreement]
NOTHING_SEEN = Agreement()


def planned_agreement(
    options: Sequence[Option],
    after: SuccessAfter,
    agreements: Agreements,
    aim: Aim,
    ceiling: Ceiling = NO_CEILING,
    present: Sequence[str] = (),
) -> Verdict:
    """Return the best pair with its third model, or the single call that none beats.

    The `present` three stay unless others are better by `MARGIN`. At a value of $0.10, models of
    70 and 80 % at $0.0002 and $0.0004 agree in 0.56 + 0.06 / 4 = 57.5 % of cases and are right
    then in 97.4 %; a third one of 75 % (of what is left) at $0.003 makes that
    0.56 + 0.425 * 0.75 = 87.9 % for 0.0006 + 0.425 * 0.003 = $0.0019.
    """
    arms = undominated_arms(options, aim)
    best = single = best_single(arms, aim)
    for chain in _chains(arms, after, agreements, aim, ceiling):
        if fits_limit(chain.latency_ms, aim.latency_ms_max):
            best = max(best, chain, key=lambda one: one.utility_usd)
    known = {one.model_id: one for one in options}
    if len(present) == 3 and all(name in known for name in present):
        held = _valued(tuple(known[name] for name in present), after, agreements, aim)
        if best.utility_usd - held.utility_usd < MARGIN * aim.value_usd:
            best = held
    if best.utility_usd - single.utility_usd < GAIN_MIN * aim.value_usd:
        best = single
    return Verdict(best, single, _reason(best, single, agreements))


def _chains(
    arms: Sequence[Option], after: SuccessAfter, agreements: Agreements, aim: Aim, ceiling: Ceiling
) -> Iterator[Chain]:
    for steps in combinations(arms, 3):
        if fits(steps, ceiling):
            yield _valued(steps, after, agreements, aim)


def _valued(
    steps: tuple[Option, ...], after: SuccessAfter, agreements: Agreements, aim: Aim
) -> Chain:
    first, second, strong = steps
    seen = agreements.get((first.model_id, second.model_id), NOTHING_SEEN)
    rates = seen.rates(first.success, second.success)
    return agreement_chain((first, second), rates, strong, after(strong.model_id, 1), aim)


def _reason(best: Chain, single: Chain, agreements: Agreements) -> str:
    alone = f"{single.models[0]} alone: {single.success:.0%} for ${single.cost_usd:.5f}"
    if not best.escalates:
        return f"no agreement of two beats {alone}"
    seen = agreements.get((best.models[0], best.models[1]), NOTHING_SEEN)
    return (
        f"two models asked at once, {best.success:.0%} for ${best.cost_usd:.5f}, against {alone}"
        f" (they have agreed in {seen.agreed:.0f} of {seen.agreed + seen.disagreed:.0f} cases)"
    )
