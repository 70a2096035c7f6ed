"""What is learned from outcomes: sums by hour and cell, and how far they are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, DateTime, Double, Index, Integer, String, text
from sqlmodel import Field, SQLModel

from models.tables.columns import instant


def _sum() -> Any:  # Any: Field() is typed as what the attribute holds
    return Field(sa_column=Column(Double, nullable=False))


class LearnedHourRow(SQLModel, table=True):
    """The outcomes of one hour in one cell, discounted as of the last of them."""

    __tablename__ = "learned_hours"
    __table_args__ = (Index("learned_hours_window", "window_start"),)

    model_id: str = Field(sa_column=Column(String(200), primary_key=True))
    task_type: str = Field(sa_column=Column(String(200), primary_key=True))
    complexity: str = Field(sa_column=Column(String(20), primary_key=True))
    failed_before: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    window_start: datetime = Field(sa_column=Column(DateTime(timezone=True), primary_key=True))
    outcomes: int
    weight: float = _sum()
    successes: float = _sum()
    cost_usd: float = _sum()
    timed: float = _sum()
    latency_ms: float = _sum()
    told_weight: float = Field(0.0, sa_column=Column(Double, nullable=False, server_default="0"))
    told_successes: float = Field(0.0, sa_column=Column(Double, nullable=False, server_default="0"))


class LearningProgressRow(SQLModel, table=True):
    """Up to when every change is counted, and the discount it was counted with."""

    __tablename__ = "learning_progress"

    id: int = Field(
        sa_column=Column(Integer, primary_key=True, autoincrement=False, server_default=text("1"))
    )
    changed_until: datetime = instant(nullable=False)
    discount: float = _sum()
