"""Quality against cost: the hull of a policy's points, the area under it, and cost at parity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from operator import mul
from typing import NamedTuple


class Point(NamedTuple):
    """Mean cost in USD and mean success of one setting."""

    cost_usd: float
    success: float


def hull(points: Sequence[Point]) -> list[Point]:
    """Return the upper convex hull up to the best point: what mixing two settings can reach."""
    corners: list[Point] = []
    for point in sorted(set(points)):
        if corners and point.success <= corners[-1].success:
            continue
        while len(corners) > 1 and _turns_up(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    return corners


def area(points: Sequence[Point], low: Point, high: Point) -> float:
    """Return the mean success of the hull between two costs (AIQ of RouterBench, that range).

    Cheaper than the first corner nothing is known to be better than `low`, the cheapest model.
    """
    corners = hull([*points, low])
    if high.cost_usd <= low.cost_usd:
        return high.success
    cuts = sorted({low.cost_usd, high.cost_usd, *(c.cost_usd for c in corners)})
    cuts = [cost for cost in cuts if low.cost_usd <= cost <= high.cost_usd]
    total = 0.0
    for left, right in pairwise(cuts):
        total += (right - left) * (success_at(corners, left) + success_at(corners, right)) / 2
    return total / (high.cost_usd - low.cost_usd)


def success_at(corners: Sequence[Point], cost_usd: float) -> float:
    """Return the hull's success at a cost; beyond its ends that of the nearest corner."""
    if cost_usd <= corners[0].cost_usd:
        return corners[0].success
    for left, right in pairwise(corners):
        if cost_usd <= right.cost_usd:
            share = (cost_usd - left.cost_usd) / (right.cost_usd - left.cost_usd)
            return left.success + share * (right.success - left.success)
    return corners[-1].success


def cost_at(corners: Sequence[Point], success: float) -> float | None:
    """Return the least cost at which the hull reaches a success, None when it never does."""
    if corners[0].success >= success:
        return corners[0].cost_usd
    for left, right in pairwise(corners):
        if right.success >= success:
            share = (success - left.success) / (right.success - left.success)
            return left.cost_usd + share * (right.cost_usd - left.cost_usd)
    return None


class Held:
    """The weights of some cases, looked up once for each resampling."""

    def __init__(self, places: Sequence[int]) -> None:
        self._places = places
        self._found: dict[int, tuple[Sequence[float], list[float], float]] = {}

    def of(self, weights: Sequence[float]) -> tuple[list[float], float]:
        """Return the cases' weights and their sum."""
        found = self._found.get(id(weights))
        if found is None:  # `weights` is kept beside them, so that its id stays its own
            held = [weights[place] for place in self._places]
            found = self._found[id(weights)] = (weights, held, sum(held) or 1.0)
        return found[1], found[2]


def weighted_point(
    held: Held, success: Sequence[float], cost: Sequence[float]
) -> Callable[[Sequence[float]], Point]:
    """Return the mean point of a choice on some cases, for any weights of the cases."""

    def point(weights: Sequence[float]) -> Point:
        each, total = held.of(weights)
        return Point(sum(map(mul, each, cost)) / total, sum(map(mul, each, success)) / total)

    return point


class Ranking:
    """Cases in the order in which a method would give them to the strong model."""

    def __init__(
        self, order: Sequence[int], weak: Sequence[float], strong: Sequence[float]
    ) -> None:
        self._held = Held(order)
        self._gain = [strong[case] - weak[case] for case in order]

    def gap_recovered(self, weights: Sequence[float]) -> float:
        """Return APGR: the mean share of the gap between the models over all shares of calls."""
        held, total = self._held.of(weights)
        gains: list[float] = list(map(mul, held, self._gain))
        gap = sum(gains)
        after: float = sum(map(mul, held, accumulate(gains)))
        half: float = sum(map(mul, held, gains)) / 2
        return (after - half) / total / gap

    def calls_needed(self, share: float) -> float:
        """Return CPT: which share of strong calls recovers this share of the gap."""
        gap = share * sum(self._gain)
        for number, won in enumerate(accumulate(self._gain), start=1):
            if won >= gap:
                return number / len(self._gain)
        return 1.0


def _turns_up(first: Point, second: Point, third: Point) -> bool:
    run, rise = second.cost_usd - first.cost_usd, second.success - first.success
    return (third.success - first.success) * run >= rise * (third.cost_usd - first.cost_usd)
