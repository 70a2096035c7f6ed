"""How hard a request is."""

from __future__ import annotations

from enum import StrEnum


class Complexity(StrEnum):
    """How hard a request is; only compared within a task type."""

    SIMPLE = "simple"
    MODERATE = "moderate"
    COMPLEX = "complex"

    @property
    def rank(self) -> int:
        """0, 1 or 2."""
        return _RANKS[self]


_RANKS = {Complexity.SIMPLE: 0, Complexity.MODERATE: 1, Complexity.COMPLEX: 2}
