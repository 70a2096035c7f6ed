"""What waits for a person, and what somebody should hear of."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, String, Text, text
from sqlmodel import Field, SQLModel

from models.tables.columns import NOW, document, instant, key, short_text, usd


class ApprovalRow(SQLModel, table=True):
    """What a person was asked, the hold that waits with it, and the answer."""

    __tablename__ = "approvals"

    decision_id: UUID = Field(primary_key=True, foreign_key="routing_decisions.id")
    selection_id: UUID
    attempt_no: int
    token: UUID
    amount_usd: Decimal = usd()
    expires_at: datetime = instant(nullable=False)
    answer: str | None = short_text(10)
    approver: str | None = short_text(200)
    note: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = instant(default=NOW, nullable=False)
    answered_at: datetime | None = instant()


class AlertRow(SQLModel, table=True):
    """One thing to hear of, once."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index("alerts_unannounced", "created_at", postgresql_where=text("announced_at IS NULL")),
    )

    id: UUID = key()
    kind: str = short_text(50, nullable=False)
    dedupe_key: str = Field(sa_column=Column(String(300), nullable=False, unique=True))
    subject: str = short_text(200, nullable=False)
    message: str = Field(sa_column=Column(Text, nullable=False))
    details: dict[str, Any] = document(nullable=False, default="'{}'")
    created_at: datetime = instant(default=NOW, nullable=False)
    announced_at: datetime | None = instant()
