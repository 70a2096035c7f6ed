"""The attempt: one physical call to one model, and the money held for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from models.completion import CostSource
from models.pricing import TokenPrice


class AttemptState(StrEnum):
    """Where an attempt's money stands (docs/ledger.md, "States")."""

    RESERVED = "RESERVED"
    SENT = "SENT"
    SETTLED = "SETTLED"
    RELEASED = "RELEASED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Hold:
    """What the ledger is asked to hold before one attempt.

    `key` is unique per attempt (`decision_id/attempt_no`), `token` is the fence: only its owner
    may send. `worst_case_usd` is a bound (price sent as max_price, max_tokens clamped);
    `elastic_usd` is what budgets of mode `elastic` hold instead. `task_cap_usd` bounds all
    attempts of the decision together.
    """

    key: str
    request_hash: str
    decision_id: UUID
    attempt_no: int
    token: UUID
    owner: str
    model_id: str
    provider: str
    policy: str
    worst_case_usd: Decimal
    elastic_usd: Decimal
    task_cap_usd: Decimal | None
    task_id: UUID | None = None
    worker_id: str | None = None
    task_type: str | None = None
    complexity: str | None = None
    simulated: bool = False
    lease_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Blocking:
    """One budget that refused a hold."""

    budget: str  # "worker:w1 daily"
    amount_usd: Decimal
    remaining_usd: Decimal
    period_end: datetime | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """The hold stands; `alerts` names budgets whose alert threshold this crossed."""

    selection_id: UUID
    lease_expires_at: datetime


@dataclass(frozen=True, slots=True)
class Replay:
    """The key already has a row: continue from it, pay nothing."""

    attempt: AttemptRow


@dataclass(frozen=True, slots=True)
class Rejected:
    """All or nothing: the hold does not fit in these budgets."""

    blocking: tuple[Blocking, ...]


@dataclass(frozen=True, slots=True)
class Uncovered:
    """No active budget definition covers the call: fail closed."""


ReserveAnswer = Reserved | Replay | Rejected | Uncovered


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One row of `model_selections`, read back."""

    selection_id: UUID
    decision_id: UUID | None
    attempt_no: int
    key: str
    state: AttemptState
    model_id: str
    provider: str | None
    estimated_cost_usd: Decimal
    actual_cost_usd: Decimal | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_ms: int | None
    outcome: str | None
    error: str | None
    error_kind: str | None
    generation_id: str | None
    settle_source: str | None
    response: dict[str, Any] | None
    created_at: datetime
    lease_expires_at: datetime | None
    lease_live: bool


@dataclass(frozen=True, slots=True)
class Bill:
    """What an attempt really cost and brought, written by one settle transaction."""

    cost_usd: Decimal
    source: CostSource
    outcome: str
    error: str | None = None
    error_kind: str | None = None
    provider: str | None = None
    served_model_id: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    latency_ms: int | None = None
    first_token_ms: int | None = None
    generation_id: str | None = None
    response: dict[str, Any] | None = None


SettleState = Literal["settled", "already_settled", "late", "not_sent", "not_found"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What settling did: `overrun_usd` is the cost above the hold, booked in full."""

    state: SettleState
    overrun_usd: Decimal
    alerts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One step of a plan: the model, its clamp and the price cap sent with it."""

    model_id: str
    provider: str
    price: TokenPrice
    max_tokens: int
    prompt_tokens_bound: int
    worst_case_usd: Decimal
    elastic_usd: Decimal
