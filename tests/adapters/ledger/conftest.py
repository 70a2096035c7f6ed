"""A ledger without the seeded limit, and holds with everything filled in."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from models.attempt import Hold
from models.budget import BudgetDefinition
from tasks.adapters.database import Database
from tasks.adapters.ledger import Ledger

HoldMaker = Callable[..., Hold]
BudgetMaker = Callable[..., BudgetDefinition]


@pytest.fixture
async def ledger(database: Database) -> Ledger:
    """A ledger in which no limit is defined yet."""
    await database.execute("DELETE FROM budget_definitions")
    return Ledger(database, patience_s=2)


@pytest.fixture
def hold() -> HoldMaker:
    """Make a hold of one cent by worker w1; any field can be given."""

    def make(**fields: Any) -> Hold:
        decision_id = fields.pop("decision_id", None) or uuid.uuid4()
        attempt_no = fields.pop("attempt_no", 1)
        values: dict[str, Any] = {
            "key": f"{decision_id}/{attempt_no}",
            "request_hash": "hash",
            "token": uuid.uuid4(),
            "owner": "tests",
            "model_id": "openai/gpt-4o-mini",
            "provider": "openai",
            "policy": "normal",
            "worst_case_usd": Decimal("0.01"),
            "task_cap_usd": None,
            "worker_id": "w1",
            **fields,
        }
        values.setdefault("elastic_usd", values["worst_case_usd"])
        return Hold(decision_id=decision_id, attempt_no=attempt_no, **values)

    return make


@pytest.fixture
def budget() -> BudgetMaker:
    """Make a definition, by default global and daily."""

    def make(amount: str, **fields: Any) -> BudgetDefinition:
        values: dict[str, Any] = {"budget_type": "global", "budget_period": "daily", **fields}
        return BudgetDefinition(budget_amount=Decimal(amount), **values)

    return make
