"""What outcomes teach: full windows of performance, discounted sums by hour, propensities.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WINDOW_COLUMNS = (
    "p99_response_time_ms",
    "total_tokens",
    "tokens_per_success",
    "cost_per_success",
    "errors",
    "satisfaction",
    "rated_requests",
)


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("ALTER TABLE routing_decisions DROP COLUMN propensity")
    op.execute("DROP TABLE learning_progress")
    op.execute("DROP TABLE learned_hours")
    for column in WINDOW_COLUMNS:
        op.execute(f"ALTER TABLE model_performance DROP COLUMN {column}")
    op.execute("DROP INDEX decision_feedback_created_at")
    op.execute("DROP INDEX model_selections_settled_at")
    op.execute("ALTER TABLE model_selections DROP COLUMN finish_reason")
