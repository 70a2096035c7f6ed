"""Answers that are given again, and who asks for one now."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, String
from sqlmodel import Field, SQLModel

from models.tables.columns import NOW, document, flag, instant, short_text


class CachedAnswerRow(SQLModel, table=True):
    """One kept answer; its key is a hash of what was asked."""

    __tablename__ = "cached_answers"
    __table_args__ = (
        Index("cached_answers_expires_at", "expires_at"),
        Index("cached_answers_created_at", "created_at"),
    )

    key: str = Field(sa_column=Column(String(64), primary_key=True))
    policy_name: str = short_text(200, nullable=False)
    policy_version: int
    model_id: str = short_text(200, nullable=False)
    decision_id: UUID
    answer: dict[str, Any] = document(nullable=False)
    bytes: int
    created_at: datetime = instant(default=NOW, nullable=False)
    expires_at: datetime = instant(nullable=False)


class AnswerInFlightRow(SQLModel, table=True):
    """A request whose answer others wait for; a lease."""

    __tablename__ = "answers_in_flight"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    key: str = Field(sa_column=Column(String(64), primary_key=True))
    token: UUID
    decision_id: UUID
    owner: str = short_text(200, nullable=False)
    is_open: bool = flag("false")
    lease_expires_at: datetime = instant(nullable=False)
