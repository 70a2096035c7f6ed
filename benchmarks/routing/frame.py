"""Rows of the many-model table: every method measured against the same best single model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from benchmarks.routing.curves import Point, area, cost_at, hull, success_at
from benchmarks.routing.splits import Split
from benchmarks.routing.statistics import Measured, Weights, measured

POINT_LOSS = 0.01
COST_SHARES = (0.10, 0.25, 0.50)
PointOf = Callable[[Weights], Point]
Always = Callable[[str, Sequence[int]], PointOf]


class Threshold(NamedTuple):
    """A setting that the dev part chose, on the test part.

    Its share of the best single model's cost, and its success minus that model's.
    """

    cost_share: Measured
    gap: Measured


class ManyRow(NamedTuple):
    """One method on one data set, on the test parts of all seeds.

    `parity` and `loss` are the settings chosen on the dev part for the success of the best single
    model and for one point less; `read_off` are the cost shares that the test curve itself shows.
    """

    method: str
    success: Measured
    cost_share: Measured
    gap_closed: float
    aiq: Measured | None = None
    parity: Threshold | None = None
    loss: Threshold | None = None
    read_off: tuple[float | None, float | None] = (None, None)
    at_shares: tuple[float, ...] = ()


class Frame:
    """What all rows of a data set share.

    `references` is the best single model of each seed by its train and dev parts.
    """

    def __init__(
        self, always: Always, best: Callable[[Sequence[int]], str], models: Sequence[str],
        splits: Sequence[Split], draws: Sequence[Weights],
    ) -> None:  # fmt: skip
        self._draws, self._size = draws, len(draws[0])
        self._plain = [1.0] * self._size
        self.references = [best((*one.train, *one.dev)) for one in splits]
        pairs = list(zip(self.references, splits, strict=True))
        self._high = [always(name, one.test) for name, one in pairs]
        self._high_dev = [always(name, one.dev)(self._plain) for name, one in pairs]
        self._low = [
            min((always(name, one.test) for name in models), key=lambda p: p(self._plain).cost_usd)
            for one in splits
        ]
        self._oracle = 1.0

    def learn_oracle(self, oracle: Sequence[PointOf]) -> None:
        """Note what choosing with hindsight per prompt reaches."""
        self._oracle = self._mean_success(oracle)

    def fixed_row(self, name: str, points: Sequence[PointOf]) -> ManyRow:
        """Return the row of a method without settings."""
        return ManyRow(
            method=name,
            success=self._measured([partial(_success, point) for point in points]),
            cost_share=self._measured(self._shares(points)),
            gap_closed=self._closed(points),
        )

    def curve_row(
        self, name: str, dev: Sequence[Sequence[Point]], test: Sequence[Sequence[PointOf]]
    ) -> ManyRow:
        """Return the row of a method with settings, one list of them for each seed."""
        parity = self._chosen(dev, test, 0.0)
        areas = [
            partial(_area, points, low, high)
            for points, low, high in zip(test, self._low, self._high, strict=True)
        ]
        return ManyRow(
            method=name,
            success=self._measured([partial(_success, point) for point in parity]),
            cost_share=self._measured(self._shares(parity)),
            gap_closed=self._closed(parity),
            aiq=self._measured(areas),
            parity=self._threshold(parity),
            loss=self._threshold(self._chosen(dev, test, POINT_LOSS)),
            read_off=(self._read_off(test, 0.0), self._read_off(test, POINT_LOSS)),
            at_shares=tuple(self._at_share(test, share) for share in COST_SHARES),
        )

    def _chosen(
        self, dev: Sequence[Sequence[Point]], test: Sequence[Sequence[PointOf]], lost: float
    ) -> list[PointOf]:
        """Return, for each seed, the cheapest setting that is good enough on the dev part."""
        made = []
        for points, options, high in zip(dev, test, self._high_dev, strict=True):
            pairs = list(zip(points, options, strict=True))
            good = [pair for pair in pairs if pair[0].success >= high.success - lost]
            cheapest = min(good, key=lambda pair: pair[0].cost_usd, default=None)
            made.append((cheapest or max(pairs, key=lambda pair: pair[0].success))[1])
        return made

    def _threshold(self, points: Sequence[PointOf]) -> Threshold:
        gaps = [partial(_gap, point, high) for point, high in zip(points, self._high, strict=True)]
        return Threshold(self._measured(self._shares(points)), self._measured(gaps))

    def _read_off(self, test: Sequence[Sequence[PointOf]], lost: float) -> float | None:
        shares = []
        for points, high in zip(test, self._high, strict=True):
            corners = hull([point(self._plain) for point in points])
            best = high(self._plain)
            cost = cost_at(corners, best.success - lost)
            shares.append(None if cost is None else cost / best.cost_usd)
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if len(known) == len(shares) else None

    def _at_share(self, test: Sequence[Sequence[PointOf]], share: float) -> float:
        found = [
            success_at(
                hull([point(self._plain) for point in points]),
                share * high(self._plain).cost_usd,
            )
            for points, high in zip(test, self._high, strict=True)
        ]
        return sum(found) / len(found)

    def _shares(self, points: Sequence[PointOf]) -> list[Callable[[Weights], float]]:
        return [partial(_share, point, high) for point, high in
                zip(points, self._high, strict=True)]  # fmt: skip

    def _closed(self, points: Sequence[PointOf]) -> float:
        """Return which share of the way from the best single model to the oracle is gone."""
        single = self._mean_success(self._high)
        return (self._mean_success(points) - single) / ((self._oracle - single) or 1.0)

    def _mean_success(self, points: Sequence[PointOf]) -> float:
        return sum(point(self._plain).success for point in points) / len(points)

    def _measured(self, statistics: Sequence[Callable[[Weights], float]]) -> Measured:
        return measured(statistics, self._draws, self._size)


def _success(point: PointOf, weights: Weights) -> float:
    return point(weights).success


def _share(point: PointOf, high: PointOf, weights: Weights) -> float:
    return point(weights).cost_usd / high(weights).cost_usd


def _gap(point: PointOf, high: PointOf, weights: Weights) -> float:
    return point(weights).success - high(weights).success


def _area(points: Sequence[PointOf], low: PointOf, high: PointOf, weights: Weights) -> float:
    return area([point(weights) for point in points], low(weights), high(weights))
