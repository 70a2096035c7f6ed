"""Batches and their lines; decisions that share one selection.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP TABLE batch_items")
    op.execute("DROP TABLE batches")
    op.execute("ALTER TABLE routing_decisions DROP COLUMN planned_with")
