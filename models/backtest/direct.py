"""The direct model: what a way of asking models is expected to bring, from everyone else's record.

Success per model, kind of work and failures before it comes from `models/learning/posteriors`
without discounting (the whole span counts alike), fitted once a fold on the decisions outside it,
so that no decision helps to predict itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from models.backtest.past import FOLDS, Past
from models.learning.kinds import ANY, Kind
from models.learning.posteriors import Belief, Outcomes, Posteriors

# A failure that the caller's check or the upstream's error shows leads to the next model; before
# anything is recorded it is taken to be half of them, with the weight of four failures.
NOTICED_PRIOR, NOTICED_WEIGHT = 0.5, 4.0


@dataclass(slots=True)
class DirectModel:
    """What is expected of models, for each fold by the others' record."""

    beliefs: Mapping[str, Belief]
    _folds: list[Posteriors]
    _noticed: list[float]
    _evidence: Mapping[tuple[str, str], float]
    _known: dict[tuple[int, Kind], Mapping[str, float]] = field(default_factory=dict)

    def way(self, fold: int, kind: Kind, way: Sequence[str], failed_before: int = 0) -> float:
        """Return P(success) of asking these models in turn until one answers.

        0.6 first, then 0.5, and 80 % of failures are noticed: 0.6 + 0.4 * 0.8 * 0.5 = 0.76.
        """
        if not way:
            return 0.0
        first = self.success(fold, kind, way[0], failed_before)
        after = self.way(fold, kind, way[1:], failed_before + 1)
        return first + (1.0 - first) * self._noticed[fold] * after

    def success(self, fold: int, kind: Kind, model_id: str, failed_before: int = 0) -> float:
        """Return P(success) of one model."""
        asked = kind._replace(failed_before=failed_before)
        known = self._known.get((fold, asked))
        if known is None:
            found = self._folds[fold].estimates(asked, self.beliefs)
            known = {name: estimate.success for name, estimate in found.items()}
            self._known[(fold, asked)] = known
        return known[model_id]

    def noticed(self, fold: int) -> float:
        """Return the share of failures that lead to the next model."""
        return self._noticed[fold]

    def weight(self, model_id: str, task_type: str) -> float:
        """Return how many outcomes an estimate of the model in the type stands on, prior too."""
        return self.beliefs[model_id].weight + self._evidence.get((model_id, task_type), 0.0)


def direct_model(record: Iterable[Past], beliefs: Mapping[str, Belief]) -> DirectModel:
    """Return the model of a record; every model that may be asked needs a belief."""
    counts: list[dict[tuple[str, Kind], list[float]]] = [{} for _ in range(FOLDS)]
    failures = [[NOTICED_PRIOR * NOTICED_WEIGHT, NOTICED_WEIGHT] for _ in range(FOLDS)]
    evidence: dict[tuple[str, str], float] = {}
    for past in record:
        for number, step in enumerate(past.steps):
            cell = (step.model_id, past.kind._replace(failed_before=number))
            place = (step.model_id, past.kind.task_type)
            evidence[place] = evidence.get(place, 0.0) + 1.0
            for fold in (other for other in range(FOLDS) if other != past.fold):
                sums = counts[fold].setdefault(cell, [0.0, 0.0])
                sums[0] += 1.0
                sums[1] += step.right
                failures[fold][0] += not step.accepted
                failures[fold][1] += step.right < 0.5
    noticed = [min(1.0, seen / failed) for seen, failed in failures]
    return DirectModel(beliefs, [_posteriors(one) for one in counts], noticed, evidence)


def _posteriors(counts: Mapping[tuple[str, Kind], Sequence[float]]) -> Posteriors:
    made = Posteriors(discount=1.0)
    for (model_id, kind), (times, right) in counts.items():
        made.record(model_id, kind, Outcomes(right, 0.0, times=int(times)))
    return made


def kind_of(task_type: str, complexity: str) -> Kind:
    """Return the kind of work of a first attempt."""
    return Kind(task_type or ANY, complexity or ANY)
