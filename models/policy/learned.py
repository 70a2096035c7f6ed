"""What `recompute-priorities` learned for a policy: the order of its models by kind of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.policy.levels import Complexity

LearnedId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class LearnedOrder(BaseModel):
    """The models for one task type, best first; written by the server, with its reason.

    Without a complexity it serves all of them. When it `escalates`, each step is dearer than the
    one before and is asked when the answer before it failed its check.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_type: LearnedId = Field(description="The task type, or * for every other one")
    complexity: Complexity | None = None
    models: tuple[LearnedId, ...] = Field(min_length=1, max_length=20)
    escalates: bool = False
    reason: str = Field("", max_length=2000)

    def note(self) -> str:
        """Return the order in words."""
        kind = self.task_type if self.complexity is None else f"{self.complexity} {self.task_type}"
        way = " > ".join(self.models) if self.escalates else f"{self.models[0]} first"
        said = f": {self.reason}" if self.reason else ""
        return f"learned for {kind}: {way}{said}"


def learned_order(
    orders: Sequence[LearnedOrder], task_type: str, complexity: Complexity
) -> LearnedOrder | None:
    """Return the most particular order for a request, or None."""
    found = [one for one in orders if one.task_type in (task_type, "*")]
    fitting = [one for one in found if one.complexity in (complexity, None)]
    return max(fitting, key=_particularity, default=None)


def _particularity(order: LearnedOrder) -> tuple[bool, bool]:
    return order.task_type != "*", order.complexity is not None
