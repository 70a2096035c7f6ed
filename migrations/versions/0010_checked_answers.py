"""Outcomes that only a check vouches for, told apart.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("ALTER TABLE learned_hours DROP COLUMN told_weight, DROP COLUMN told_successes")
    op.execute("ALTER TABLE model_selections DROP COLUMN checked")
