"""Means with paired bootstrap intervals: every method is weighed on the same resampled prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from random import Random
from typing import NamedTuple

REPLICATES = 200
LOW, HIGH = 0.025, 0.975


class Measured(NamedTuple):
    """A mean over seeds, with a 95 % interval over prompts."""

    mean: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        """Return mean and interval."""
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def verdict(self, target: float, *, above: bool = True) -> str:
        """Return `met`, `met within the interval` or `missed`."""
        if (self.mean >= target) if above else (self.mean <= target):
            return "met"
        reached = self.high >= target if above else self.low <= target
        return "met within the interval" if reached else "missed"


Weights = Sequence[float]
Statistic = Callable[[Weights], float]
"""From one weight per case of the data set (1 each for the plain figure) to a figure."""


def measured(statistics: Sequence[Statistic], draws: Sequence[Weights], size: int) -> Measured:
    """Return the mean of the statistics of all seeds, resampled together.

    A prompt that is in the test part of several seeds is drawn once for all of them, so that the
    seeds do not pretend to be independent.
    """
    plain = [1.0] * size
    mean = _mean([statistic(plain) for statistic in statistics])
    spread = sorted(_mean([statistic(draw) for statistic in statistics]) for draw in draws)
    if not spread:
        return Measured(mean, mean, mean)
    return Measured(mean, spread[int(LOW * len(spread))], spread[int(HIGH * len(spread))])


def bootstrap(size: int, replicates: int = REPLICATES, seed: int = 1) -> list[list[float]]:
    """Return weights per replicate: Poisson(1), the bootstrap of a large sample."""
    random = Random(seed)
    table = _poisson_table()
    return [[table[int(random.random() * 1024)] for _ in range(size)] for _ in range(replicates)]


def _poisson_table() -> list[float]:
    """Return 1,024 equally likely values of a Poisson variable of mean 1."""
    made: list[float] = []
    chance, total, value = exp(-1.0), 0.0, 0
    while len(made) < 1024:
        total += chance
        made += [float(value)] * max(0, min(1024, round(total * 1024)) - len(made))
        value += 1
        chance /= value
        if value > 12:
            made += [1.0] * (1024 - len(made))
    return made


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
