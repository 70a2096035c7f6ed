"""What `recompute-priorities` learned for a policy: the order of its models by kind of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.policy.levels import Complexity

LearnedId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


EscalationCheck = Literal["accept", "agreement"]


class Brings(BaseModel):
    """What a chain is expected to bring, beside the best single call; statistics, not money.

    `false_accept` and `false_reject` are the rates of an `accept` check, `agrees` and
    `right_when_agreed` those of two models that are asked the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    success: float
    cost_usd: float
    latency_ms: float
    single_model: LearnedId
    single_success: float
    single_cost_usd: float
    false_accept: float | None = None
    false_reject: float | None = None
    agrees: float | None = None
    right_when_agreed: float | None = None


class LearnedOrder(BaseModel):
    """The models for one task type, best first; written by the server, with its reason.

    Without a complexity it serves all of them. With a `check` it is a chain for requests whose
    answers are checked so: when it `escalates`, each step is dearer than the one before and is
    asked when the answer before it failed; of an `agreement`, the third is asked when the first
    two differ. A chain of one model says that none pays.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task_type: LearnedId = Field(description="The task type, or * for every other one")
    complexity: Complexity | None = None
    models: tuple[LearnedId, ...] = Field(min_length=1, max_length=20)
    escalates: bool = False
    reason: str = Field("", max_length=2000)
    check: EscalationCheck | None = None
    brings: Brings | None = None

    def note(self, source: str = "learned") -> str:
        """Return the order in words."""
        kind = self.task_type if self.complexity is None else f"{self.complexity} {self.task_type}"
        said = f": {self.reason}" if self.reason else ""
        return f"{source} for {kind}: {self._way()}{said}"

    def _way(self) -> str:
        if not self.escalates:
            return f"{self.models[0]} first" if self.check is None else f"{self.models[0]} alone"
        if self.check == "agreement":
            return f"{' and '.join(self.models[:2])}, {self.models[2]} where they differ"
        return " > ".join(self.models)


def learned_order(
    orders: Sequence[LearnedOrder],
    task_type: str,
    complexity: Complexity,
    check: EscalationCheck | None = None,
) -> LearnedOrder | None:
    """Return the most particular order for a request, or None; a chain only for its check."""
    found = [one for one in orders if one.check == check and one.task_type in (task_type, "*")]
    fitting = [one for one in found if one.complexity in (complexity, None)]
    return max(fitting, key=_particularity, default=None)


def _particularity(order: LearnedOrder) -> tuple[bool, bool]:
    return order.task_type != "*", order.complexity is not None
