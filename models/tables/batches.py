"""Batches and their lines."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy import Uuid as UuidType
from sqlmodel import Field, SQLModel

from models.tables.columns import NOW, document, flag, instant, short_text, usd, whole


class BatchRow(SQLModel, table=True):
    """One file of requests, and who works on it."""

    __tablename__ = "batches"
    __table_args__ = (UniqueConstraint("source_hash", "edition", name="batches_source"),)

    id: UUID = Field(primary_key=True)
    source_hash: str = short_text(64, nullable=False)
    edition: int
    name: str = short_text(500, nullable=False)
    lines: int = whole("0")
    is_loaded: bool = flag("false")
    max_cost_usd: Decimal | None = usd(nullable=True)
    deadline_at: datetime | None = instant()
    concurrency: int
    claimed_by: str | None = short_text(200)
    claimed_until: datetime | None = instant()
    created_at: datetime = instant(default=NOW, nullable=False)
    ended_at: datetime | None = instant()


class BatchItemRow(SQLModel, table=True):
    """One line of a batch, and the decision that answered it."""

    __tablename__ = "batch_items"
    __table_args__ = (
        Index(
            "batch_items_pending",
            "batch_id",
            "line_no",
            postgresql_where=text("status = 'pending' AND same_as IS NULL"),
        ),
        Index(
            "batch_items_same",
            "batch_id",
            "same_as",
            postgresql_where=text("same_as IS NOT NULL"),
        ),
    )

    batch_id: UUID = Field(
        sa_column=Column(UuidType(), ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    )
    line_no: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    status: str = short_text(20, nullable=False)
    request: dict[str, Any] | None = document()
    labels: dict[str, Any] | None = document()
    answer_hash: str | None = short_text(64)
    same_as: int | None = None
    problem: str | None = Field(default=None, sa_column=Column(Text))
    decision_id: UUID | None = Field(default=None, foreign_key="routing_decisions.id")


class UpstreamBatchRow(SQLModel, table=True):
    """A batch that a provider works off; its lines' holds name it as their owner."""

    __tablename__ = "upstream_batches"
    __table_args__ = (
        Index("upstream_batches_open", "batch_id", postgresql_where=text("ended_at IS NULL")),
    )

    id: UUID = Field(primary_key=True)
    batch_id: UUID = Field(
        sa_column=Column(UuidType(), ForeignKey("batches.id", ondelete="CASCADE"), nullable=False)
    )
    model_id: str = short_text(200, nullable=False)
    upstream_id: str | None = short_text(200)
    problem: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = instant(default=NOW, nullable=False)
    ended_at: datetime | None = instant()
