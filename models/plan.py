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
from models.policy import Brings, EscalationCheck


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
class PlannedChain:
    """A chain that was looked at: whether it is followed, and what it is expected to bring.

    `source` is `learned` or `public priors`. Its steps together may hold `ceiling_usd` and take
    `ceiling_s`.
    """

    check: EscalationCheck
    models: tuple[str, ...]
    is_followed: bool
    source: str
    ceiling_usd: Decimal
    ceiling_s: float | None
    brings: Brings | None

    @property
    def asks_two(self) -> bool:
        """Whether two models are asked at once and their answers compared."""
        return self.is_followed and self.check == "agreement"


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
    chain: PlannedChain | None = None

    @property
    def escalates(self) -> bool:
        """Whether an answer must be accepted before it is anybody's."""
        return self.chain is not None and self.chain.is_followed

    def remaining(self, attempts_made: int) -> tuple[Candidate, ...]:
        """Return whom to ask after an interruption; a chain goes on where it stopped."""
        if not self.escalates or not attempts_made:
            return self.candidates
        steps = max(2, attempts_made) if self.chain and self.chain.asks_two else attempts_made
        return self.candidates[steps:] or self.candidates[-1:]

    def document(self) -> dict[str, Any]:
        """Return the plan as a JSON document."""
        made: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        if self.chain is None:  # plans stored before there were chains have no such part
            del made["chain"]
        fields = Considered._fields
        made["considered"] = [dict(zip(fields, one, strict=True)) for one in made["considered"]]
        return made


_ADAPTER = TypeAdapter(Plan)


def plan_from_document(document: dict[str, Any]) -> Plan:
    """Return the plan of a parsed JSON document."""
    return _ADAPTER.validate_python(document)
