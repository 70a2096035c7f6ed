"""The result: what a caller gets back, whatever happened."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from models.usd import Usd


class Status(StrEnum):
    """How a request ended, or what it waits for."""

    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"
    PARKED = "parked"
    AWAITING_APPROVAL = "awaiting_approval"
    SELECTED = "selected"


EXIT_CODES = {
    Status.COMPLETED: 0,
    Status.SELECTED: 0,
    Status.FAILED: 1,
    Status.REJECTED: 3,
    Status.PARKED: 4,
    Status.AWAITING_APPROVAL: 4,
}


class Outcome(StrEnum):
    """How one attempt ended."""

    OK = "ok"
    FAILED = "failed"
    REJECTED_ANSWER = "rejected_answer"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


Hedged = Literal["first", "second", "neither"]


class AttemptResult(BaseModel):
    """One physical attempt: `cost_usd` is "0" when not billed, null only while unknown."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    outcome: Outcome
    error: str | None = None
    estimated_cost_usd: Usd
    cost_usd: Usd | None
    latency_ms: int | None = None


class RoutingResult(BaseModel):
    """The result document of one request (docs/interface.md, "Result")."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    decision_id: UUID
    task_id: UUID | None = None
    worker_id: str | None = None
    status: Status
    task_type: str
    complexity: str
    policy: str
    policy_version: int
    model: str | None = None
    provider: str | None = None
    content: str | None = None
    message: dict[str, Any] | None = Field(None, description="The whole assistant message")
    finish_reason: str | None = None
    cost_usd: Usd = Field(description="Sum of what is known")
    estimated_cost_usd: Usd = Field(description="Sum of the holds of all attempts")
    possible_overshoot_usd: Usd | None = Field(
        None, description="Elastic budgets only: by how much the bill may exceed the hold"
    )
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: int = 0
    cached: bool = False
    hedged: Hedged | None = Field(
        None, description="Who won when a second model joined because the first was slow"
    )
    simulated: bool = False
    attempts: list[AttemptResult] = Field(default_factory=list)
    reasons: list[str] = Field(default_factory=list)
    flow_run_id: UUID | None = None
