"""The money: what the limits are, what is spent and held, and every entry behind it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Column, Index, String, Text, UniqueConstraint, text
from sqlalchemy import Uuid as UuidType
from sqlmodel import Field, SQLModel

from models.tables.columns import (
    NOW,
    USD,
    document,
    flag,
    instant,
    key,
    ratio,
    short_text,
    usd,
    whole,
)


class BudgetDefinitionRow(SQLModel, table=True):
    """What one limit is."""

    __tablename__ = "budget_definitions"
    __table_args__ = (
        UniqueConstraint(
            "budget_type", "scope_key", "budget_period", name="budget_definitions_scope"
        ),
    )

    id: UUID = key()
    budget_type: str = short_text(50, nullable=False)
    scope_key: str = short_text(200, default="*", nullable=False)
    budget_period: str = short_text(20, nullable=False)
    budget_amount: Decimal = usd()
    time_zone: str = short_text(64, default="UTC", nullable=False)
    alert_threshold: Decimal = ratio()
    mode: str = short_text(10, default="hard", nullable=False)
    is_active: bool = flag("true")
    created_at: datetime = instant(default=NOW, nullable=False)
    updated_at: datetime = instant(default=NOW, nullable=False)


class CostBudgetRow(SQLModel, table=True):
    """The balance of one budget in one period."""

    __tablename__ = "cost_budgets"
    __table_args__ = (
        UniqueConstraint(
            "budget_type",
            "scope_key",
            "budget_period",
            "period_start",
            name="cost_budgets_scope",
        ),
        Index(
            "cost_budgets_definition",
            "definition_id",
            "period_start",
            postgresql_where=text("definition_id IS NOT NULL"),
        ),
    )

    id: UUID = key()
    definition_id: UUID | None = Field(default=None, foreign_key="budget_definitions.id")
    budget_type: str = short_text(50, nullable=False)
    scope_key: str = short_text(200, default="*", nullable=False)
    budget_period: str = short_text(20, nullable=False)
    budget_amount: Decimal = usd()
    spent_amount: Decimal = usd(default="0")
    reserved_amount: Decimal = usd(default="0")
    period_start: datetime = instant(nullable=False)
    period_end: datetime | None = instant()
    time_zone: str = short_text(64, default="UTC", nullable=False)
    mode: str = short_text(10, default="hard", nullable=False)
    alert_threshold: Decimal = ratio()
    alerted_at: datetime | None = instant()
    closed_at: datetime | None = instant()
    created_at: datetime = instant(default=NOW, nullable=False)


class BudgetAdjustmentRow(SQLModel, table=True):
    """A correction of a balance, with its reason."""

    __tablename__ = "budget_adjustments"
    __table_args__ = (Index("budget_adjustments_budget", "budget_id"),)

    id: UUID = key()
    budget_id: UUID = Field(foreign_key="cost_budgets.id")
    amount: Decimal = usd()
    reason: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = instant(default=NOW, nullable=False)


class ModelSelectionRow(SQLModel, table=True):
    """One physical attempt: the hold is its estimated cost, the bill its actual cost."""

    __tablename__ = "model_selections"
    __table_args__ = (
        Index("model_selections_decision", "decision_id"),
        Index("model_selections_model", "selected_model", "created_at"),
        Index("model_selections_open", "created_at", postgresql_where=text("settled_at IS NULL")),
        Index("model_selections_created_at", "created_at", postgresql_using="brin"),
        Index("model_selections_settled_at", "settled_at", postgresql_using="brin"),
    )

    id: UUID = key()
    task_id: UUID | None = Field(default=None, foreign_key="governance_tasks.id")
    policy_name: str | None = short_text(200)
    selected_model: str = short_text(200, nullable=False)
    selected_provider: str | None = short_text(200)
    estimated_cost: Decimal = usd()
    actual_cost: Decimal | None = usd(nullable=True)
    tokens_used: int | None = None
    response_time_ms: int | None = None
    success: bool | None = None
    created_at: datetime = instant(default=text("clock_timestamp()"), nullable=False)
    decision_id: UUID
    attempt_no: int
    idempotency_key: str = Field(sa_column=Column(String(500), nullable=False, unique=True))
    request_hash: str = short_text(64, nullable=False)
    state: str = short_text(10, nullable=False)
    owner: str = short_text(200, nullable=False)
    token: UUID
    lease_expires_at: datetime = instant(nullable=False)
    budget_ids: list[UUID] = Field(sa_column=Column(ARRAY(UuidType()), nullable=False))
    hold_amounts: list[Decimal] = Field(sa_column=Column(ARRAY(USD), nullable=False))
    worker_id: str | None = short_text(200)
    task_type: str | None = short_text(200)
    complexity: str | None = short_text(20)
    served_model: str | None = short_text(200)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    first_token_ms: int | None = None
    sent_at: datetime | None = instant()
    settled_at: datetime | None = instant()
    settle_source: str | None = short_text(20)
    generation_id: str | None = short_text(200)
    outcome: str | None = short_text(20)
    error: str | None = Field(default=None, sa_column=Column(Text))
    error_kind: str | None = short_text(50)
    response: dict[str, Any] | None = document()
    overrun_usd: Decimal = usd(default="0")
    late: bool = flag("false")
    simulated: bool = flag("false")
    reconcile_after: datetime | None = instant()
    reconcile_tries: int = whole("0")
    finish_reason: str | None = short_text(50)
    checked: bool = flag("false")


class KeyCheckpointRow(SQLModel, table=True):
    """What the upstream key had spent at a quiet moment."""

    __tablename__ = "key_checkpoints"

    id: UUID = key()
    usage_usd: Decimal = usd()
    taken_at: datetime = instant(default=NOW, nullable=False)
