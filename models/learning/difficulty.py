"""How good each model is and how hard each kind of work, told apart.

A model that serves the hard work looks worse than it is, and one that never served a hard type
looks better on it. So log odds of success = skill of the model + ease of the type, fitted to the
discounted counts: skills are held by their priors, eases by zero. What is left, a model's own
strength in a type, is learned in `posteriors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import NamedTuple

SWEEPS = 4
# Ease of a type: log odds within about one of the average, said with the weight of few outcomes.
EASE_PRIOR = 1.0
_NEVER, _ALWAYS = 0.001, 0.999
_STEP_MAX = 2.0


class Count(NamedTuple):
    """Discounted outcomes of one model in one type."""

    model_id: str
    task_type: str
    weight: float
    successes: float


class Held(NamedTuple):
    """A skill before any outcome: its mean, and the outcomes that it is worth."""

    success: float
    weight: float


class Fit(NamedTuple):
    """Skills and eases as log odds."""

    skills: Mapping[str, float]
    eases: Mapping[str, float]

    def success(self, model_id: str, task_type: str) -> float:
        """Return P(success) of a model in a type, of average ease when it was never seen."""
        return probability(self.skills[model_id] + self.eases.get(task_type, 0.0))


def fitted(counts: Sequence[Count], held: Mapping[str, Held]) -> Fit:
    """Return skills and eases by a few Newton sweeps; counts of other models are left out."""
    counts = [count for count in counts if count.model_id in held and count.weight > 0.0]
    starts = {name: log_odds(one.success) for name, one in held.items()}
    ties = {name: one.weight * one.success * (1 - one.success) for name, one in held.items()}
    skills, eases = dict(starts), {count.task_type: 0.0 for count in counts}
    for _ in range(SWEEPS if counts else 0):
        _sweep(skills, [(count.model_id, count) for count in counts], starts, ties, skills, eases)
        flat = dict.fromkeys(eases, 0.0)
        tied = dict.fromkeys(eases, EASE_PRIOR)
        _sweep(eases, [(count.task_type, count) for count in counts], flat, tied, skills, eases)
    return Fit(skills, eases)


def pooled_shifts(
    observed: Mapping[str, tuple[float, float]], expected: Mapping[str, float]
) -> dict[str, float]:
    """Return by how much the log odds of the other models were off together, for each model.

    `observed` holds weight and successes, `expected` P(success). One Newton step from zero; a
    model's own outcomes are left out, because they count by themselves later.
    """
    slopes = {n: right - weight * expected[n] for n, (weight, right) in observed.items()}
    bends = {n: one[0] * expected[n] * (1 - expected[n]) for n, one in observed.items()}
    slope, bend = sum(slopes.values()), sum(bends.values()) + EASE_PRIOR
    return {
        name: _bounded((slope - slopes.get(name, 0.0)) / (bend - bends.get(name, 0.0)))
        for name in expected
    }


def log_odds(success: float) -> float:
    """Return the log odds of a probability, within those of 0.1 and 99.9 %."""
    held = min(_ALWAYS, max(_NEVER, success))
    return log(held / (1.0 - held))


def probability(odds: float) -> float:
    """Return the probability of log odds."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, odds))))


def shifted(success: float, odds: float) -> float:
    """Return the probability whose log odds are higher by so much."""
    return probability(log_odds(success) + odds) if odds else success


def _sweep(
    moved: dict[str, float], counts: Sequence[tuple[str, Count]], starts: Mapping[str, float],
    ties: Mapping[str, float], skills: Mapping[str, float], eases: Mapping[str, float],
) -> None:  # fmt: skip
    """Move each of one side's values by one Newton step, the other side held."""
    slopes = {name: ties[name] * (starts[name] - value) for name, value in moved.items()}
    bends = dict(ties)
    for name, count in counts:
        expected = probability(skills[count.model_id] + eases[count.task_type])
        slopes[name] += count.successes - count.weight * expected
        bends[name] += count.weight * expected * (1.0 - expected)
    for name, slope in slopes.items():
        moved[name] += _bounded(slope / max(bends[name], 1e-6))


def _bounded(step: float) -> float:
    return max(-_STEP_MAX, min(_STEP_MAX, step))
