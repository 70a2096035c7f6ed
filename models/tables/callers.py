"""Who calls, and what callers thought of the answers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import ARRAY, Column, Index, String, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.tables.columns import NOW, RATIO, instant, key, short_text


class ApiKeyRow(SQLModel, table=True):
    """One key of the HTTP API; the token itself is never stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("api_keys_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
    )

    id: UUID = key()
    name: str = short_text(200, nullable=False)
    prefix: str = Field(sa_column=Column(String(20), nullable=False, unique=True))
    digest: str = short_text(64, nullable=False)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    worker_id: str | None = short_text(200)
    requests_per_minute: int | None = None
    concurrent_max: int | None = None
    created_at: datetime = instant(default=NOW, nullable=False)
    expires_at: datetime | None = instant()
    last_used_at: datetime | None = instant()
    revoked_at: datetime | None = instant()


class DecisionFeedbackRow(SQLModel, table=True):
    """What somebody thought of a decision, or of one of its attempts."""

    __tablename__ = "decision_feedback"
    __table_args__ = (
        UniqueConstraint(
            "decision_id",
            "attempt_no",
            name="decision_feedback_once",
            postgresql_nulls_not_distinct=True,
        ),
        Index("decision_feedback_created_at", "created_at"),
    )

    id: UUID = key()
    decision_id: UUID = Field(foreign_key="routing_decisions.id")
    attempt_no: int | None = None
    score: Decimal = Field(sa_column=Column(RATIO, nullable=False))
    given_by: str | None = short_text(200)
    created_at: datetime = instant(default=NOW, nullable=False)
