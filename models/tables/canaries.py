"""Policy versions on trial."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, Integer, String, Text, text
from sqlmodel import Field, SQLModel

from models.tables.columns import NOW, RATIO, document, instant, key, short_text


class PolicyCanaryRow(SQLModel, table=True):
    """A version that serves, or served, a share of its policy's requests, and how that ended."""

    __tablename__ = "policy_canaries"
    __table_args__ = (
        Index(
            "policy_canaries_running",
            "name",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    id: UUID = key()
    name: str = Field(sa_column=Column(String(200), nullable=False))
    version: int = Field(sa_column=Column(Integer, nullable=False))
    base_version: int = Field(sa_column=Column(Integer, nullable=False))
    policy_config: dict[str, Any] = document(nullable=False)
    share: Decimal = Field(sa_column=Column(RATIO, nullable=False))
    status: str = short_text(20, default="running", nullable=False)
    reason: str = Field(sa_column=Column(Text, nullable=False))
    started_at: datetime = instant(default=NOW, nullable=False)
    ended_at: datetime | None = instant()
    end_reason: str | None = Field(default=None, sa_column=Column(Text))
