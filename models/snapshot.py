"""The snapshot: everything one selection depends on, stored so that it can be replayed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import TypeAdapter

from models.classification import Classification
from models.features import RequestFeatures
from models.policy import LearnedOrder, Policy
from models.pricing import ModelCard
from models.request import OnExhausted


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """How one model did lately.

    `circuit_open_until` is set while the model must rest. `elastic_ratio` is the learned share of
    the worst case that budgets of mode `elastic` hold; 1 while nothing is learned. `prior_success`
    is what the shipped priors say, only where the policy explores.
    """

    model_id: str
    attempts: int = 0
    success_rate: float | None = None
    latency_p95_ms: int | None = None
    completion_tokens_avg: int | None = None
    circuit_open_until: datetime | None = None
    elastic_ratio: Decimal = Decimal(1)
    prior_success: float | None = None


@dataclass(frozen=True, slots=True)
class BudgetRoom:
    """One budget's period at the time of the snapshot.

    `name` is what people read ("worker:w1 daily"); a budget of type model concerns the model of
    its scope key only. `period_end` is None for a budget that never turns.
    """

    name: str
    budget_type: str
    scope_key: str
    amount_usd: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    mode: Literal["hard", "elastic"] = "hard"
    alert_ratio: Decimal = Decimal("0.8")
    period_end: datetime | None = None

    @property
    def remaining_usd(self) -> Decimal:
        """What may still be held; negative after an overrun."""
        return self.amount_usd - self.spent_usd - self.reserved_usd


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole input of `select`; `draw` in [0, 1) is the only randomness.

    `starting_chain` is what the shipped priors advise while no chain is learned: a later version's
    priors must not change what a replay gives.
    """

    features: RequestFeatures
    classification: Classification
    policy: Policy
    policy_reason: str
    cards: tuple[ModelCard, ...]
    statistics: tuple[ModelStatistics, ...]
    budgets: tuple[BudgetRoom, ...]
    draw: float
    now: datetime
    schema: int = 1
    starting_chain: LearnedOrder | None = None

    @property
    def task_cap_usd(self) -> Decimal:
        """The most that all attempts together may cost: the policy's limit or the request's."""
        asked = self.features.max_cost_usd
        limit = self.policy.max_cost_per_task
        return limit if asked is None else min(limit, asked)

    @property
    def on_exhausted(self) -> OnExhausted:
        """What happens when the money does not suffice: the caller's choice, else the policy's."""
        return self.features.on_exhausted or self.policy.on_exhausted

    @property
    def learned_order(self) -> LearnedOrder | None:
        """The order that was learned for this kind of work, None where the policy's holds."""
        if self.features.model is not None:
            return None
        kind = self.classification
        return self.policy.order_for(kind.task_type, kind.complexity)

    def document(self) -> dict[str, Any]:
        """Return the snapshot as a JSON document: money as strings, times with their zone."""
        made: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        for card in made["cards"]:
            card["abilities"].sort()  # a set has no order, a document should
        return made

    def to_json(self) -> str:
        """Return the snapshot as JSON text; `from_json` gives an equal snapshot back."""
        return json.dumps(self.document(), sort_keys=True, separators=(",", ":"))


_ADAPTER = TypeAdapter(Snapshot)


def from_json(text: str | bytes) -> Snapshot:
    """Return the snapshot of a JSON text; raises pydantic's ValidationError when it is none."""
    return _ADAPTER.validate_json(text)


def from_document(document: dict[str, Any]) -> Snapshot:
    """Return the snapshot of a parsed JSON document."""
    return _ADAPTER.validate_python(document)
