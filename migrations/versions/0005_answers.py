"""Answers that are given again, and the prices that savings are measured by.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = ("reused_from", "reuse", "first_price", "escalates")


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP TABLE answers_in_flight")
    op.execute("DROP TABLE cached_answers")
    op.execute("DROP INDEX routing_decisions_reused")
    for column in COLUMNS:
        op.execute(f"ALTER TABLE routing_decisions DROP COLUMN {column}")
