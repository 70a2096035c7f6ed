"""How often a changed policy would have been right: a doubly robust estimate with its interval.

For a decision whose new way of asking models begins as the recorded one did, the direct model's
expectation is corrected by what really happened, weighed by one over the propensity of the recorded
choice; later steps are corrected in turn (Jiang and Li, arXiv 1511.03722). The estimate is right
when either the propensities or the direct model are. Where the record holds no such choice at all,
the direct model stands alone: those decisions are counted, and the model's own doubt widens the
interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, sqrt
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, Field

from models.backtest.direct import DirectModel
from models.backtest.past import Past

LEVEL = 0.9
PSEUDO = 4.0  # outcomes added to the spread, as Agresti and Coull add them to a proportion
CERTAIN = 1.0


class Interval(BaseModel):
    """An estimate with the interval that holds the truth in nine of ten cases."""

    model_config = ConfigDict(frozen=True)

    value: float
    low: float
    high: float


class Quality(BaseModel):
    """The share of requests that get a right answer: recorded, and under the changed policy."""

    model_config = ConfigDict(frozen=True)

    recorded: float
    estimate: Interval
    change: Interval = Field(description="Estimate less recorded, decision by decision")
    level: float = LEVEL
    effective_sample: float = Field(
        description="Recorded outcomes that the correction stands on, as if equally weighted"
    )
    answered_share: float = Field(description="Decisions that the record can answer for")
    model_based_share: float = Field(description="Decisions that only the direct model speaks of")


@dataclass(slots=True)
class QualitySums:
    """The sums of an estimate, decision by decision."""

    explored: Mapping[object, frozenset[str]]
    values: list[float] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    unanswered: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    implied: float = 0.0
    implied_squares: float = 0.0

    def add(
        self, past: Past, way: Sequence[str], direct: DirectModel, *, asks_two: bool = False
    ) -> None:
        """Add a decision and the models that the changed policy would ask for it.

        Where it asks two at once and compares them, a record of one answer says nothing.
        """
        self.recorded.append(past.success)
        value, stop = _value(past, way, direct, 0)
        if asks_two:
            value, stop = direct.way(past.fold, past.kind, way), 0
        elif past.steps and list(way[:1]) == [past.steps[0].model_id]:
            weight = 1.0 / past.propensity
            self.weights.append(weight)
            expected = direct.way(past.fold, past.kind, way)
            variance = weight * weight * expected * (1.0 - expected)
            self.implied += variance
            self.implied_squares += variance * variance
        elif stop == 0 and self._could_have(past, way[0]):
            stop = None
        self.values.append(value)
        if stop is not None:
            cell = self.unanswered.setdefault((way[stop], past.kind.task_type), [0.0, 0.0])
            cell[0] += 1.0
            cell[1] += direct.success(past.fold, past.kind, way[stop], stop)

    def _could_have(self, past: Past, model_id: str) -> bool:
        """Say whether chance could have made the recorded rule ask this model first."""
        drawn = bool(past.steps) and past.propensity < CERTAIN
        return drawn and model_id in self.explored.get(past.group, frozenset())

    def quality(self, direct: DirectModel) -> Quality:
        """Return the estimate; at least one decision must have been added."""
        total = len(self.values)
        doubt = _doubt(self.unanswered, direct, total)
        changes = [new - old for new, old in zip(self.values, self.recorded, strict=True)]
        squares = sum(weight * weight for weight in self.weights)
        effective = sum(self.weights) ** 2 / squares if squares else 0.0
        implied = self.implied / total / total
        freedom = self.implied**2 / self.implied_squares if self.implied_squares else inf
        alone = sum(cell[0] for cell in self.unanswered.values()) / total
        return Quality(
            recorded=sum(self.recorded) / total,
            estimate=_interval(self.values, implied, doubt, freedom, (0.0, 1.0)),
            change=_interval(changes, 0.0, doubt, freedom, (-1.0, 1.0)),
            effective_sample=effective,
            answered_share=1.0 - alone,
            model_based_share=alone,
        )


def explored_by(record: Iterable[Past]) -> dict[object, frozenset[str]]:
    """Return, for each group, the models that its rule took by chance."""
    found: dict[object, set[str]] = {}
    for past in record:
        if past.propensity < CERTAIN and past.steps:
            found.setdefault(past.group, set()).add(past.steps[0].model_id)
    return {group: frozenset(models) for group, models in found.items()}


def _value(
    past: Past, way: Sequence[str], direct: DirectModel, number: int
) -> tuple[float, int | None]:
    """Return what the way is worth from this step on, and the step where the record ends, if so."""
    if number == len(way):
        return 0.0, None
    expected = direct.way(past.fold, past.kind, way[number:], number)
    if number >= len(past.steps) or past.steps[number].model_id != way[number]:
        return expected, number
    step, stop = past.steps[number], None
    if step.accepted:
        gained = step.right
    elif number + 1 == len(past.steps) < past.planned:
        gained = 0.0  # it was stopped for good: asking another model was no choice
    else:
        gained, stop = _value(past, way, direct, number + 1)
    weight = 1.0 / past.propensity if number == 0 else 1.0
    return expected + weight * (gained - expected), stop


def _doubt(
    unanswered: Mapping[tuple[str, str], Sequence[float]], direct: DirectModel, total: int
) -> float:
    """Return the variance of the mean that the direct model's own doubt adds.

    Errors of one model in different types are taken to go together, those of different models not.
    """
    by_model: dict[str, float] = {}
    for (model_id, task_type), (count, expected) in unanswered.items():
        mean = expected / count
        deviation = sqrt(mean * (1.0 - mean) / (direct.weight(model_id, task_type) + 1.0))
        by_model[model_id] = by_model.get(model_id, 0.0) + count / total * deviation
    return sum(deviation * deviation for deviation in by_model.values())


def _interval(
    values: Sequence[float],
    implied: float,
    doubt: float,
    freedom: float,
    bounds: tuple[float, float],
) -> Interval:
    """Return the mean with its interval.

    Few weighty outcomes that happen to be alike have no spread to speak of: it is taken to be at
    least what the direct model's own probabilities imply.
    """
    total, (least, most) = len(values), bounds
    mean = sum(values) / total
    spread = sum((value - mean) ** 2 for value in values) / max(1, total - 1) / total
    half = _quantile(freedom) * sqrt(max(spread, implied) * (1.0 + PSEUDO / freedom) + doubt)
    bounded = [min(most, max(least, bound)) for bound in (mean, mean - half, mean + half)]
    return Interval(value=bounded[0], low=bounded[1], high=bounded[2])


def _quantile(freedom: float) -> float:
    """Return Student's quantile for the interval, by the expansion of Fisher and Cornish.

    Few outcomes behind large weights make the normal interval too narrow: the degrees of freedom
    are Satterthwaite's, of the variances that the weights imply. 10 of them: 1.81 instead of 1.64.
    """
    z, freedom = NormalDist().inv_cdf((1.0 + LEVEL) / 2.0), max(2.0, freedom - 1.0)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
