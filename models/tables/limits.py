"""Rate limits of the upstream, and who waits for a turn under them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, String, Uuid, text
from sqlmodel import Field, SQLModel

from models.tables.columns import NOW, instant, short_text


def _count() -> int:
    column = Column(BigInteger, nullable=False, server_default=text("0"))
    count: int = Field(default=None, sa_column=column)
    return count


class RateLimitRow(SQLModel, table=True):
    """One limit of one scope, set by a person or taught by a 429."""

    __tablename__ = "rate_limits"

    account: str = Field(sa_column=Column(String(40), primary_key=True))
    scope: str = Field(sa_column=Column(String(200), primary_key=True))
    source: str = Field(sa_column=Column(String(10), primary_key=True))
    requests: int | None = None
    period_s: float = Field(sa_column=Column(Double, nullable=False, server_default=text("60")))
    concurrency: int | None = None
    blocked_until: datetime | None = instant()
    expires_at: datetime | None = instant()
    next_at: datetime = instant(default=NOW, nullable=False)
    turns: int = _count()
    waits: int = _count()
    waited_s: float = Field(sa_column=Column(Double, nullable=False, server_default=text("0")))
    refusals: int = _count()
    lessons: int = _count()
    updated_at: datetime = instant(default=NOW, nullable=False)


class RateTicketRow(SQLModel, table=True):
    """One call that waits for its turn, or has one under a limit on concurrency."""

    __tablename__ = "rate_tickets"
    __table_args__ = (
        Index("rate_tickets_queue", "account", "round", "created_at"),
        {"prefixes": ["UNLOGGED"]},
    )

    id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    account: str = short_text(40, nullable=False)
    model: str = short_text(200, nullable=False)
    worker: str = short_text(200, nullable=False)
    round: int = Field(sa_column=Column(BigInteger, nullable=False))
    is_running: bool = Field(
        sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )
    held_by: str = short_text(200, nullable=False)
    not_before: datetime = instant(nullable=False)
    created_at: datetime = instant(nullable=False)
    expires_at: datetime = instant(nullable=False)


class RateWorkerRow(SQLModel, table=True):
    """The round of a worker's last turn."""

    __tablename__ = "rate_workers"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    account: str = Field(sa_column=Column(String(40), primary_key=True))
    worker: str = Field(sa_column=Column(String(200), primary_key=True))
    round: int = Field(sa_column=Column(BigInteger, nullable=False))
    taken_at: datetime = instant(nullable=False)
