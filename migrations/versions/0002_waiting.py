"""Work that waits for money or a person, alerts, and windows of performance made once.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("not_before", "parkings", "waits_in_run", "claimed_by", "claimed_until")


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP INDEX model_performance_window")
    op.execute("DROP TABLE alerts")
    op.execute("DROP TABLE approvals CASCADE")
    op.execute("DROP INDEX routing_decisions_run")
    for column in COLUMNS:
        op.execute(f"ALTER TABLE routing_decisions DROP COLUMN {column}")
