"""Hierarchical Beta estimates of success, with mean cost and latency, discounted as they age.

An outcome counts globally, for its task type, and for its type and complexity. A cell's prior is
its parent's mean, moved by how hard the cell's work is for all models (`difficulty`) and worth
`CHILD_PRIOR_WEIGHT` outcomes; the widest cell's prior is a public figure (`priors`). Every outcome
multiplies what its cells knew before by `DISCOUNT`, so that a cell remembers about its last hundred
outcomes: a model that silently gets worse is noticed.

Costs here are statistics about USD, not money: they rank models and are never booked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from models.learning.checks import TRUE_CHECK, Check
from models.learning.derived_priors import LOG_ODDS_AFTER_FAILURES
from models.learning.difficulty import Count, Held, fitted, pooled_shifts, shifted
from models.learning.kinds import ANY, Kind

DISCOUNT = 0.99
CHILD_PRIOR_WEIGHT = 20.0  # 15-30 did alike on the recorded outcomes
COST_PRIOR_WEIGHT = 5.0  # costs differ by kind of work far more than success does


CELL_SUMS = (
    "weight", "successes", "cost_usd", "timed", "latency_ms", "told_weight", "told_successes",
)  # fmt: skip


class Outcomes(NamedTuple):
    """One outcome, or the sums of several in a row; `told` ones are known by their check only."""

    successes: float
    cost_usd: float
    latency_ms: float | None = None
    times: int = 1
    told: bool = False


class Belief(NamedTuple):
    """What is held of a model before its own outcomes: a mean worth `weight` outcomes."""

    success: float
    weight: float
    cost_usd: float
    latency_ms: float | None = None


class Estimate(NamedTuple):
    """What is expected of one model in one kind of work.

    `evidence` counts the kind's own outcomes after discounting, `success` is a probability.
    """

    success: float
    evidence: float
    cost_usd: float
    latency_ms: float | None


@dataclass(slots=True)
class Cell:
    """Discounted sums of outcomes. `timed` is the weight of those with a known latency.

    `told_weight` and `told_successes` are the part that nothing but a check vouches for.
    """

    weight: float = 0.0
    successes: float = 0.0
    cost_usd: float = 0.0
    timed: float = 0.0
    latency_ms: float = 0.0
    told_weight: float = 0.0
    told_successes: float = 0.0

    def seen(self, check: Check) -> tuple[float, float]:
        """Return the weight and the successes, the errors of their check taken out."""
        if not self.told_weight:
            return self.weight, self.successes
        weight, right = check.evidence(self.told_successes, self.told_weight)
        return self.weight - self.told_weight + weight, self.successes - self.told_successes + right

    def add(self, outcomes: Outcomes, discount: float) -> None:
        """Add outcomes; n of them weigh as the newest n: (1 - discount^n) / (1 - discount)."""
        times = outcomes.times
        kept = discount**times
        gained = float(times) if discount == 1.0 else (1.0 - kept) / (1.0 - discount)
        share = gained / times
        self.weight = self.weight * kept + gained
        self.successes = self.successes * kept + outcomes.successes * share
        self.cost_usd = self.cost_usd * kept + outcomes.cost_usd * share
        self.timed *= kept
        self.latency_ms *= kept
        if outcomes.latency_ms is not None:
            self.timed += gained
            self.latency_ms += outcomes.latency_ms * share
        self.told_weight *= kept
        self.told_successes *= kept
        if outcomes.told:
            self.told_weight += gained
            self.told_successes += outcomes.successes * share

    def forget(self, share: float) -> None:
        """Drop a share of what is known; means stay, their weight falls."""
        for name in CELL_SUMS:
            setattr(self, name, getattr(self, name) * (1.0 - share))


@dataclass(slots=True)
class Posteriors:
    """All cells of all models; `check` says how far to trust what only a check vouches for.

    Taken at its word, it would make the cheapest model look best, whose wrong answers are accepted
    too.
    """

    discount: float = DISCOUNT
    cells: dict[tuple[str, Kind], Cell] = field(default_factory=dict)
    check: Check = TRUE_CHECK

    def record(self, model_id: str, kind: Kind, outcomes: Outcomes) -> None:
        """Count outcomes of a model; none (`times` 0) change nothing."""
        if not outcomes.times:
            return
        for level in kind.levels():
            cell = self.cells.get((model_id, level))
            if cell is None:
                cell = self.cells[(model_id, level)] = Cell()
            cell.add(outcomes, self.discount)

    def forget(self, model_id: str, share: float) -> None:
        """Let a model's cells fade towards their priors.

        For models that get no requests: what failed last week is tried again one day.
        """
        for (name, _), cell in self.cells.items():
            if name == model_id:
                cell.forget(share)

    def estimate(self, model_id: str, kind: Kind, belief: Belief) -> Estimate:
        """Return what to expect of a model in a kind of work, other models left aside."""
        return self.estimates(kind, {model_id: belief})[model_id]

    def estimates(self, kind: Kind, beliefs: Mapping[str, Belief]) -> dict[str, Estimate]:
        """Return what to expect of each model in a kind of work.

        What the models met in other types tells how good they are, what all of them met in this
        type how hard it is; then each one's own outcomes count, from the type to the complexity.
        """
        held = {name: Held(one.success, one.weight) for name, one in beliefs.items()}
        fit = fitted(self._counts(kind.task_type), held)
        means = {name: fit.success(name, kind.task_type) for name in beliefs}
        first = kind.first()
        for level in first.levels()[1:]:
            means = self._narrowed(level, means, pooled=level.complexity != ANY)
        if kind.failed_before:
            step = min(kind.failed_before, len(LOG_ODDS_AFTER_FAILURES) - 1)
            odds = -LOG_ODDS_AFTER_FAILURES[step]
            means = {name: shifted(mean, odds) for name, mean in means.items()}
            for level in kind.levels():
                means = self._narrowed(level, means, pooled=True)
        return {
            name: self._estimate(name, kind, mean, beliefs[name]) for name, mean in means.items()
        }

    def _counts(self, asked: str) -> list[Count]:
        """Return the first attempts by type; of all work together when no type is asked for."""
        return [
            Count(name, kind.task_type, *cell.seen(self.check))
            for (name, kind), cell in self.cells.items()
            if not kind.failed_before
            and kind.complexity == ANY
            and (kind.task_type == ANY) == (asked == ANY)
        ]

    def _narrowed(
        self, level: Kind, means: Mapping[str, float], *, pooled: bool
    ) -> dict[str, float]:
        """Return the means once a narrower cell's own outcomes count.

        A parent's 0.767 worth 20 and 5 of 20 right here: (20 * 0.767 + 5) / 40 = 0.508. With
        `pooled`, what the other models met here moves the parents' means first.
        """
        cells = {name: self.cells.get((name, level)) for name in means}
        if pooled:
            seen = {n: one.seen(self.check) for n, one in cells.items() if one is not None}
            shifts = pooled_shifts(seen, means)
            means = {name: shifted(mean, shifts[name]) for name, mean in means.items()}
        return {name: _blend(mean, cells[name], self.check) for name, mean in means.items()}

    def _estimate(self, model_id: str, kind: Kind, success: float, belief: Belief) -> Estimate:
        cost, latency = belief.cost_usd, belief.latency_ms
        levels = kind.levels() if not kind.failed_before else kind.first().levels()
        for level in levels:
            cell = self.cells.get((model_id, level))
            if cell is not None and cell.weight:
                weight = COST_PRIOR_WEIGHT + cell.weight
                cost = (cost * COST_PRIOR_WEIGHT + cell.cost_usd) / weight
                latency = _blended(latency, cell)
        own = self.cells.get((model_id, kind))
        return Estimate(success, 0.0 if own is None else own.weight, cost, latency)

    def document(self) -> dict[str, Any]:
        """Return everything as a JSON document."""
        return {
            "discount": self.discount,
            "cells": [
                [model_id, *kind, *(getattr(cell, name) for name in CELL_SUMS)]
                for (model_id, kind), cell in sorted(self.cells.items())
            ],
        }  # fmt: skip


def statistic(amount_usd: Decimal) -> float:
    """Return an amount as a figure for comparisons; what is booked stays a Decimal."""
    return float(amount_usd)


def posteriors_from(document: dict[str, Any]) -> Posteriors:
    """Return the posteriors of a document."""
    cells = {(row[0], Kind(*row[1:4])): Cell(*row[4:]) for row in document["cells"]}
    return Posteriors(document["discount"], cells)


def posteriors_of(
    rows: Iterable[tuple[str, Kind, Outcomes]], discount: float = DISCOUNT
) -> Posteriors:
    """Return the posteriors of outcomes in the order of their time."""
    made = Posteriors(discount)
    for model_id, kind, outcomes in rows:
        made.record(model_id, kind, outcomes)
    return made


def _blend(mean: float, cell: Cell | None, check: Check) -> float:
    if cell is None:
        return mean
    weight, successes = cell.seen(check)
    return (mean * CHILD_PRIOR_WEIGHT + successes) / (CHILD_PRIOR_WEIGHT + weight)


def _blended(latency: float | None, cell: Cell) -> float | None:
    if not cell.timed:
        return latency
    if latency is None:
        return cell.latency_ms / cell.timed
    return (latency * COST_PRIOR_WEIGHT + cell.latency_ms) / (COST_PRIOR_WEIGHT + cell.timed)
