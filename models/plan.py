"""The plan: which models are asked in which order, why, or why none is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

from models.attempt import Candidate
from models.money import ZERO_USD


class OutKind(StrEnum):
    """Why a model, or the whole request, gets no attempt."""

    MONEY = "money"  # what is left does not take its worst case
    NO_BUDGET = "no_budget"  # nothing covers the call
    PRICE = "price"  # no price, or one that is too old
    UNBOUNDED = "unbounded"  # a part of the request has no bound on its cost
    CONTEXT = "context"
    ABILITY = "ability"
    PAUSED = "paused"  # expensive, and a budget is nearly spent
    CIRCUIT = "circuit"
    NONE_ACTIVE = "none_active"  # inactive, suspended or not listed
    NOT_NEEDED = "not_needed"  # fine, but other models come first
    DEARER = "dearer"  # fine, but dearer than the model whose fallback it would be


class Considered(NamedTuple):  # ten are made per selection: a tuple costs a third
    """One model that was looked at: its attempt number when it is in, and the reason in words.

    `returns_at` is when money may let it in, at the latest.
    """

    model_id: str
    attempt: int | None
    kind: OutKind | None
    reason: str
    returns_at: datetime | None = None


def out(
    model_id: str, kind: OutKind, reason: str, returns_at: datetime | None = None
) -> Considered:
    """Return a model that is not asked."""
    return Considered(model_id, None, kind, reason, returns_at)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is asked.

    `action` is `park` only where waiting can help and was chosen; `period_end` is when the money
    is back at the latest, None when no turn of a period brings it.
    """

    kind: OutKind
    message: str
    action: Literal["park", "reject"]
    period_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Up to three attempts, and everything that explains them.

    `estimated_cost_usd` is what the first attempt is expected to cost, far below its hold;
    `possible_overshoot_usd` is by how much bills may exceed what elastic budgets hold.
    """

    candidates: tuple[Candidate, ...]
    considered: tuple[Considered, ...]
    reasons: tuple[str, ...]
    estimated_cost_usd: Decimal
    refusal: Refusal | None = None
    needs_approval: bool = False
    possible_overshoot_usd: Decimal = ZERO_USD
    propensity: float = 1.0

    def document(self) -> dict[str, Any]:
        """Return the plan as a JSON document."""
        made: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        fields = Considered._fields
        made["considered"] = [dict(zip(fields, one, strict=True)) for one in made["considered"]]
        return made


_ADAPTER = TypeAdapter(Plan)


def plan_from_document(document: dict[str, Any]) -> Plan:
    """Return the plan of a parsed JSON document."""
    return _ADAPTER.validate_python(document)
