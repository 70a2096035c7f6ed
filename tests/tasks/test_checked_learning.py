"""What is learned from answers that only a check vouches for, and what feedback does to chains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from models.learning.checks import Check
from models.learning.kinds import Kind
from models.learning.posteriors import Cell
from tasks.adapters.database import Database
from tasks.adapters.store.feedback import save_feedback
from tasks.adapters.store.outcomes import recompute
from tasks.adapters.store.posteriors import read_posteriors
from tests.tasks.ledger_rows import write_outcomes

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC) - timedelta(hours=2)
LAX = Check(false_accept=0.2, false_reject=0.1)
FIX = ("a/cheap", Kind("fix_bug"))


async def cell(database: Database) -> Cell:
    await recompute(database)
    return (await read_posteriors(database, datetime.now(UTC))).cells[FIX]


async def checked_outcomes(database: Database, outcomes: list[bool]) -> list[object]:
    decisions = await write_outcomes(database, outcomes, NOW, model="a/cheap")
    await database.execute("UPDATE model_selections SET checked = true")
    return list(decisions)


async def test_what_only_a_check_says_is_corrected_by_its_errors(database: Database) -> None:
    await checked_outcomes(database, [True, True, True, True, False] * 20)
    found = await cell(database)
    # of 100: 80 - 0.2 * 100 = 60 of 70; here the sums are discounted
    right = found.successes - 0.2 * found.weight
    assert found.seen(LAX) == pytest.approx((0.7 * found.weight, right))


async def test_what_somebody_scored_is_taken_as_it_is(database: Database) -> None:
    for decision in await checked_outcomes(database, [True] * 4 + [False]):
        await save_feedback(
            database, decision, attempt_no=1, score=Decimal("0.2"), given_by=None
        )  # fmt: skip
    found = await cell(database)
    assert found.seen(LAX) == (found.weight, 0)


async def test_what_was_not_checked_is_taken_as_it_is(database: Database) -> None:
    await write_outcomes(database, [True] * 4 + [False], NOW, model="a/cheap")
    found = await cell(database)
    assert found.seen(LAX) == (found.weight, found.successes)


async def test_of_two_models_asked_at_once_none_is_before_the_other(database: Database) -> None:
    decision = uuid4()
    later = {"settled_at": NOW + timedelta(seconds=3), "decision_id": decision}
    await write_outcomes(database, [False], NOW, model="a/cheap", **later)
    await write_outcomes(database, [False], NOW, model="b/other", attempt_no=2, **later)
    await recompute(database)
    found = await read_posteriors(database, datetime.now(UTC))
    assert all(kind.failed_before == 0 for _, kind in found.cells)
