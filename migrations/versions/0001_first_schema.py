"""The seed's tables and the ledger's.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "key_checkpoints",
    "installation",
    "model_performance",
    "model_selections",
    "budget_adjustments",
    "cost_budgets",
    "budget_definitions",
    "routing_decisions",
    "model_catalogue",
    "routing_policy_versions",
    "routing_policies",
    "governance_tasks",
)


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
