"""What is routed, by which policy, to which models."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Computed,
    Double,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlmodel import Field, SQLModel

from models.tables.columns import (
    NOW,
    RATIO,
    document,
    flag,
    instant,
    key,
    price,
    short_text,
    usd,
    whole,
)


class GovernanceTaskRow(SQLModel, table=True):
    """A task of the fleet, as little of it as a foreign key needs."""

    __tablename__ = "governance_tasks"

    id: UUID = Field(primary_key=True)
    created_at: datetime = instant(default=NOW, nullable=False)


class RoutingPolicyRow(SQLModel, table=True):
    """The policy in force under a name."""

    __tablename__ = "routing_policies"

    id: UUID = key()
    name: str = Field(sa_column=Column(String(200), nullable=False, unique=True))
    description: str | None = Field(default=None, sa_column=Column(Text))
    policy_config: dict[str, Any] = document(nullable=False)
    is_active: bool = flag("true")
    version: int = whole("1")
    source: str = short_text(20, default="seed", nullable=False)
    created_at: datetime = instant(default=NOW, nullable=False)
    updated_at: datetime = instant(default=NOW, nullable=False)


class RoutingPolicyVersionRow(SQLModel, table=True):
    """Every version a policy ever had, so that a decision can be replayed."""

    __tablename__ = "routing_policy_versions"

    name: str = Field(sa_column=Column(String(200), primary_key=True))
    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    policy_config: dict[str, Any] = document(nullable=False)
    reason: str | None = Field(default=None, sa_column=Column(Text))
    source: str = short_text(20, nullable=False)
    created_at: datetime = instant(default=NOW, nullable=False)


class ModelCatalogueRow(SQLModel, table=True):
    """A model's prices (USD per token), sizes and abilities, and when they were read."""

    __tablename__ = "model_catalogue"

    model_id: str = Field(sa_column=Column(String(200), primary_key=True))
    provider: str = short_text(200, nullable=False)
    prompt_usd: Decimal | None = price()
    completion_usd: Decimal | None = price()
    cache_read_usd: Decimal | None = price()
    cache_write_usd: Decimal | None = price()
    request_usd: Decimal | None = price()
    image_usd: Decimal | None = price()
    context_tokens: int | None = None
    completion_tokens_max: int | None = None
    abilities: list[str] = Field(
        sa_column=Column(ARRAY(Text), nullable=False, server_default=text("'{}'"))
    )
    source: str = short_text(50, nullable=False)
    priced_at: datetime = instant(nullable=False)
    suspended_reason: str | None = Field(default=None, sa_column=Column(Text))
    updated_at: datetime = instant(default=NOW, nullable=False)


class RoutingDecisionRow(SQLModel, table=True):
    """One decision with the snapshot that it was made from."""

    __tablename__ = "routing_decisions"
    __table_args__ = (
        Index("routing_decisions_created_at", "created_at"),
        Index(
            "routing_decisions_waiting",
            text("priority DESC"),
            "created_at",
            postgresql_where=text("status IN ('parked', 'awaiting_approval')"),
        ),
        Index(
            "routing_decisions_run",
            "created_at",
            postgresql_where=text("waits_in_run IS NOT NULL"),
        ),
        Index(
            "routing_decisions_reused",
            "created_at",
            postgresql_where=text("reuse IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    idempotency_key: str | None = Field(default=None, sa_column=Column(String(500), unique=True))
    request_hash: str = short_text(64, nullable=False)
    task_id: UUID | None = Field(default=None, foreign_key="governance_tasks.id")
    policy_name: str | None = short_text(200)
    policy_version: int | None = None
    task_type: str | None = short_text(200)
    complexity: str | None = short_text(20)
    worker_id: str | None = short_text(200)
    status: str = short_text(20, nullable=False)
    snapshot: dict[str, Any] | None = document()
    plan: dict[str, Any] | None = document()
    earlier_plans: list[Any] = document(nullable=False, default="'[]'")
    first_model: str | None = short_text(200)
    reasons: list[Any] | None = document()
    result: dict[str, Any] | None = document()
    request: dict[str, Any] | None = document()
    priority: int = whole("0")
    deadline_at: datetime | None = instant()
    resume_after: datetime | None = instant()
    flow_run_id: UUID | None = None
    trace: str = short_text(20, default="flow", nullable=False)
    simulated: bool = flag("false")
    created_at: datetime = instant(default=NOW, nullable=False)
    finished_at: datetime | None = instant()
    not_before: datetime | None = instant()
    parkings: int = whole("0")
    waits_in_run: UUID | None = None
    claimed_by: str | None = short_text(200)
    claimed_until: datetime | None = instant()
    planned_with: UUID | None = None
    reused_from: UUID | None = None
    reuse: str | None = short_text(20)
    first_price: dict[str, Any] | None = document()
    escalates: bool = flag("false")
    propensity: float | None = Field(
        default=None,
        sa_column=Column(
            Double, Computed("((plan ->> 'propensity'::text))::double precision", persisted=True)
        ),
    )


class ModelPerformanceRow(SQLModel, table=True):
    """How one model did in one window."""

    __tablename__ = "model_performance"
    __table_args__ = (
        Index("model_performance_model", "model_name", "window_start"),
        Index(
            "model_performance_window",
            "window_start",
            "model_name",
            "provider",
            "policy_name",
            "task_type",
            "complexity",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: UUID = key()
    model_name: str = short_text(200, nullable=False)
    provider: str | None = short_text(200)
    window_start: datetime = instant(nullable=False)
    window_end: datetime = instant(nullable=False)
    total_requests: int = whole("0")
    successful_requests: int = whole("0")
    failed_requests: int = whole("0")
    avg_response_time_ms: int | None = None
    total_cost: Decimal = usd(default="0")
    avg_tokens_used: int | None = None
    created_at: datetime = instant(default=NOW, nullable=False)
    policy_name: str | None = short_text(200)
    task_type: str | None = short_text(200)
    complexity: str | None = short_text(20)
    p50_response_time_ms: int | None = None
    p95_response_time_ms: int | None = None
    p99_response_time_ms: int | None = None
    total_tokens: int = Field(
        default=None, sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    tokens_per_success: int | None = None
    cost_per_success: Decimal | None = usd(nullable=True)
    errors: dict[str, Any] = document(nullable=False, default="'{}'")
    satisfaction: Decimal | None = Field(default=None, sa_column=Column(RATIO))
    rated_requests: int = whole("0")


class InstallationRow(SQLModel, table=True):
    """Whether this database holds simulated or real money."""

    __tablename__ = "installation"

    id: int = Field(
        sa_column=Column(Integer, primary_key=True, autoincrement=False, server_default=text("1"))
    )
    simulated: bool
    claimed_at: datetime = instant(default=NOW, nullable=False)
