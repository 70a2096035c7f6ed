"""A recorded decision as the backtest sees it: what was asked, how likely, and how it ended."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from models.learning.kinds import Kind
from models.money import ZERO_USD

FOLDS = 5


class Step(NamedTuple):
    """One model that was asked, retries of it included.

    `accepted`: its answer was given out. `right`: 1 for a success, 0 for none, by the last word
    of feedback. Tokens are None where no bill told them.
    """

    model_id: str
    accepted: bool
    right: float
    cost_usd: Decimal = ZERO_USD
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Past(NamedTuple):
    """One recorded decision.

    `group` names the rule that logged it (policy, version, kind of work): where the rule explored,
    what it took elsewhere in the group it could have taken here. `propensity` is that of the first
    model; the ones after it follow from it. `planned` counts the models that it could have asked.
    """

    key: UUID
    kind: Kind
    group: Hashable
    propensity: float
    planned: int
    steps: tuple[Step, ...]

    @property
    def fold(self) -> int:
        """The part of the record that this decision is left out with; by chance, yet fixed."""
        return self.key.int % FOLDS

    @property
    def success(self) -> float:
        """1 when the request got a right answer."""
        return self.steps[-1].right if self.steps and self.steps[-1].accepted else 0.0

    @property
    def cost_usd(self) -> Decimal:
        """What all its attempts cost."""
        return sum((step.cost_usd for step in self.steps), ZERO_USD)
