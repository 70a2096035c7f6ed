"""The learned order of models: what a success is worth decides, with patience before a change."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from models.learning.pareto import Option, pareto_front
from models.learning.posteriors import CHILD_PRIOR_WEIGHT

EVIDENCE_MIN = 10.0  # outcomes of the present first choice before it is demoted
MARGIN = 0.01  # share of the value of a success by which a challenger must be better
# ... and by how many standard deviations of the present choice's estimate: a collapse is acted upon
# after a dozen outcomes, a small advantage only when it is no accident.
DEVIATIONS = 0.7


class Aim(NamedTuple):
    """What a policy wants: the value of a success, and the longest mean latency it bears."""

    value_usd: float
    latency_ms_max: float | None = None


class Order(NamedTuple):
    """The models, best first, and why the first choice changed (empty: it did not)."""

    models: tuple[str, ...]
    reason: str = ""


class Exploration(NamedTuple):
    """The order with another first choice perhaps, and how likely this first choice was."""

    models: tuple[str, ...]
    propensity: float


def by_utility(options: Sequence[Option], aim: Aim) -> list[Option]:
    """Return the options, best first: those within the latency, undominated, by utility.

    Models above the latency limit come last; when all are above it, it decides nothing.
    """
    quick = [one for one in options if _is_quick(one, aim)] or list(options)
    front = pareto_front(quick)
    first = sorted(front, key=lambda one: _rank(one, aim))
    second = sorted((one for one in quick if one not in front), key=lambda one: _rank(one, aim))
    slow = [one for one in options if one not in quick]
    return [*first, *second, *sorted(slow, key=lambda one: _rank(one, aim))]


def settled_order(present: Sequence[str], options: Sequence[Option], aim: Aim) -> Order:
    """Return the new order; the present first choice stays unless it is clearly beaten.

    It goes only with `EVIDENCE_MIN` outcomes behind it and a challenger that is better by `MARGIN`
    of the value and `DEVIATIONS`, or when it exceeds the latency. A model comes back the same way.
    70 % after 40 outcomes: sqrt(0.7 * 0.3 / 60) * 0.7 = 4 points are needed.
    """
    best = by_utility(options, aim)
    ids = tuple(one.model_id for one in best)
    held = next((one for one in best if present and one.model_id == present[0]), None)
    if held is None or held is best[0]:
        return Order(ids)
    gain = best[0].utility_usd(aim.value_usd) - held.utility_usd(aim.value_usd)
    too_slow = not _is_quick(held, aim) and _is_quick(best[0], aim)
    if too_slow or (held.evidence >= EVIDENCE_MIN and gain > _margin(held) * aim.value_usd):
        return Order(ids, _reason(best[0], held, gain, slow=too_slow))
    return Order((held.model_id, *(name for name in ids if name != held.model_id)))


def explored(
    order: Sequence[str], options: Sequence[Option], *, share: float, draw: float
) -> Exploration:
    """Return another undominated model first in a `share` of cases; `draw` in [0, 1) decides.

    Only undominated models are explored. With a share of 0, propensity is 1 and nothing moves.
    """
    front = [one.model_id for one in pareto_front(options)]
    others = [name for name in front if name != order[0]]
    if share <= 0.0 or not others:
        return Exploration(tuple(order), 1.0)
    if draw >= share:
        return Exploration(tuple(order), 1.0 - share)
    chosen = others[min(int(draw / share * len(others)), len(others) - 1)]
    rest = (name for name in order if name != chosen)
    return Exploration((chosen, *rest), share / len(others))


def _margin(held: Option) -> float:
    """Return the share of the value by which a challenger must be better."""
    spread = sqrt(held.success * (1 - held.success) / (held.evidence + CHILD_PRIOR_WEIGHT))
    return max(MARGIN, DEVIATIONS * spread)


def _rank(option: Option, aim: Aim) -> tuple[float, float, str]:
    return (-option.utility_usd(aim.value_usd), option.cost_usd, option.model_id)


def _is_quick(option: Option, aim: Aim) -> bool:
    limit = aim.latency_ms_max
    return limit is None or option.latency_ms is None or option.latency_ms <= limit


def _reason(best: Option, held: Option, gain: float, *, slow: bool) -> str:
    if slow:
        return f"{best.model_id} before {held.model_id}, which takes {held.latency_ms:.0f} ms"
    return (
        f"{best.model_id} before {held.model_id}: {best.success:.0%} for ${best.cost_usd:.5f}"
        f" against {held.success:.0%} for ${held.cost_usd:.5f}, worth ${gain:.5f} a request more"
        f" ({held.evidence:.0f} outcomes)"
    )
