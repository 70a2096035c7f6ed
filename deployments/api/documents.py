"""The documents of the API that no model has yet."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from models.backtest.report import BacktestReport
from models.budget import BudgetState
from models.canary import Arm, Verdict
from models.money import plain
from models.policy import Policy
from models.policy.changes import FieldChange
from models.result import AttemptResult
from models.usd import Usd

SignedUsd = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]


class Document(BaseModel):
    """A document that the API gives out."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class PageInfo(Document):
    """The end of every list."""

    next_cursor: str | None = Field(None, description="Give it as `cursor` for the next page")


class SavedDocument(Document):
    """What was saved, by how; docs/spending_less.md has the formula."""

    downgrade: SignedUsd = Field(description="Another model than the first answered")
    cache: SignedUsd = Field(description="Answered with the answer of an equal request")
    duplicate: SignedUsd = Field(description="A batch's line that asks what another line asks")
    escalation: SignedUsd = Field(description="Cheap first, checked, dearer where needed")


class CostGroupDocument(Document):
    """What one group cost."""

    key: str
    cost_usd: Usd
    requests: int
    saved_usd: SignedUsd = Field(description="Against the policy's first model; may be negative")
    saved_by_kind: SavedDocument


class CostsDocument(PageInfo):
    """Spending of a span, as a whole and by group."""

    total_cost_usd: Usd
    requests: int
    saved_usd: SignedUsd
    saved_by_kind: SavedDocument
    groups: list[CostGroupDocument]


class PerformanceGroupDocument(Document):
    """How one group did."""

    key: str
    model: str | None
    provider: str | None
    requests: int = Field(description="Attempts made")
    success_rate: float | None
    latency_ms_avg: float | None
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    latency_ms_p99: int | None
    cost_usd: Usd
    cost_per_success_usd: Usd | None = Field(description="All that was spent, for one success")
    tokens_avg: float | None
    tokens_per_success: float | None
    error_rate: float | None
    errors: dict[str, int]
    satisfaction: float | None = Field(description="Average feedback, 0 to 1")


class PerformanceDocument(PageInfo):
    """How models did in a span."""

    groups: list[PerformanceGroupDocument]


class BudgetsDocument(PageInfo):
    """Every limit with its open balance."""

    items: list[BudgetState]


class PoliciesDocument(PageInfo):
    """Every policy, newest version."""

    items: list[Policy]


class AppliedDocument(Document):
    """What applying one policy did."""

    name: str
    version: int
    change: Literal["created", "updated", "unchanged", "canary"]


class PoliciesAppliedDocument(Document):
    """What applying policies did."""

    items: list[AppliedDocument]
    dry_run: bool
    changes: list[FieldChange] | None = Field(None, description="Of a dry run: field by field")
    backtest: BacktestReport | None = Field(
        None, description="Of a dry run that changes something: the last 30 days again"
    )


class CanaryDocument(Document):
    """A policy version on trial, or the last one that was, with its evidence."""

    name: str
    version: int
    base_version: int
    share: float
    status: Literal["running", "promoted", "aborted", "rolled_back"]
    reason: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    present: Arm = Field(description="What the present version did since the canary began")
    canary: Arm
    verdict: Verdict


class CanariesDocument(PageInfo):
    """The newest trial of each policy."""

    items: list[CanaryDocument]


class CanaryEnd(BaseModel):
    """How a person ends a trial."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Literal["promote", "abort"]
    reason: str = Field("", max_length=500)


class CanaryEnded(Document):
    """How a trial ended."""

    name: str
    version: int
    status: Literal["promoted", "aborted"]
    end_reason: str | None


class AcceptedDocument(Document):
    """A request that goes on without its caller; ask for its result by `decision_id`."""

    decision_id: UUID
    flow_run_id: UUID | None
    status: Literal["running"] = "running"


class DecisionSummary(Document):
    """One line of the list of decisions."""

    decision_id: UUID
    created_at: datetime
    finished_at: datetime | None
    status: str
    task_id: UUID | None
    task_type: str | None
    complexity: str | None
    policy: str | None
    policy_version: int | None
    worker_id: str | None
    trace: str
    flow_run_id: UUID | None
    simulated: bool
    model: str | None
    cost_usd: Usd
    unknown_attempts: int = Field(description="Attempts whose bill is not known yet")
    attempts: int
    latency_ms: int | None
    reasons: list[str]


class DecisionsDocument(PageInfo):
    """A page of decisions, newest first."""

    items: list[DecisionSummary]


class StoredTexts(Document):
    """What was asked and answered."""

    messages: list[dict[str, Any]]
    content: str | None


class ExplainedDecision(Document):
    """A decision with its reasons, what was considered, its attempts and its snapshot."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    decision_id: UUID
    status: str
    task_id: UUID | None
    task_type: str | None
    complexity: str | None
    policy: str | None
    policy_version: int | None
    worker_id: str | None
    trace: str
    simulated: bool
    flow_run_id: UUID | None
    reused_from: UUID | None = Field(description="The decision that paid for the answer")
    created_at: AwareDatetime
    finished_at: AwareDatetime | None
    reasons: list[str]
    considered: list[dict[str, Any]]
    attempts: list[AttemptResult]
    feedback: list[dict[str, Any]] = Field(description="Scores: of the answer, then of attempts")
    explanation: list[dict[str, Any]] = Field(description="In plain words: parts with their lines")
    snapshot: dict[str, Any] | None
    plan: dict[str, Any] | None
    texts: StoredTexts | None = Field(description="Only where storing prompts is switched on")


class Feedback(BaseModel):
    """What a caller thought of an answer: 0 is useless, 1 is right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision_id: UUID
    attempt: int | None = Field(None, ge=1, le=1000)
    score: float = Field(ge=0, le=1, allow_inf_nan=False)


class FeedbackStored(Document):
    """The score that now counts."""

    decision_id: UUID
    attempt: int | None
    score: float


class CachedPolicyDocument(Document):
    """What is kept for one policy."""

    policy: str | None
    entries: int
    bytes: int
    oldest_at: datetime | None
    hits: int = Field(description="Decisions that were answered from the cache")


class CacheDocument(Document):
    """The answers that are kept for equal requests."""

    entries: int
    bytes: int
    bytes_max: int
    hits: int
    in_flight: int = Field(description="Requests whose answer others may be waiting for")
    policies: list[CachedPolicyDocument]


class PurgedDocument(Document):
    """How many kept answers were dropped."""

    purged: int


class HealthDocument(Document):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadinessDocument(Document):
    """Each part that a request needs: `ok`, or what is wrong with it."""

    ready: bool
    parts: dict[str, str]
