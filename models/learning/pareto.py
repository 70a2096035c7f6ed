"""Options to choose from, and those that no other one beats on price and quality."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Option(NamedTuple):
    """One model as a choice: what it brings, what it costs, how well that is known."""

    model_id: str
    success: float
    cost_usd: float
    latency_ms: float | None = None
    evidence: float = 0.0

    def utility_usd(self, value_usd: float) -> float:
        """Return what one call is worth on average: p(success) * value - cost."""
        return self.success * value_usd - self.cost_usd


def pareto_front(options: Iterable[Option]) -> list[Option]:
    """Return the options of which no other is both cheaper and better, cheapest first."""
    front: list[Option] = []
    for option in sorted(options, key=lambda one: (one.cost_usd, -one.success, one.model_id)):
        if not front or option.success > front[-1].success:
            front.append(option)
    return front
