"""The signs of an entry's amounts are checked by the ledger's functions, its only writers.

PostgreSQL parses every CHECK anew for every statement: the two of `model_selections` cost a pair of
reserve and settle about a tenth of its time on the server. The balances keep theirs.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE model_selections DROP CONSTRAINT model_selections_money,"
        " DROP CONSTRAINT model_selections_closed"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE model_selections"
        " ADD CONSTRAINT model_selections_money CHECK (estimated_cost >= 0 AND actual_cost >= 0),"
        " ADD CONSTRAINT model_selections_closed"
        " CHECK ((settled_at IS NULL) = (actual_cost IS NULL))"
    )
