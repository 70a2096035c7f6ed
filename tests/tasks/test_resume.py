"""What a second arrival under a key makes of the attempts it finds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from models.attempt import AttemptRow, Hold, Reserved
from tasks.adapters.database import Database
from tasks.adapters.ledger import Ledger
from tasks.adapters.resume import Finished, finished_attempt
from tests.bench import Bench

pytestmark = pytest.mark.anyio


class RacedLedger(Ledger):
    """A ledger in which the first arrival reserves as soon as the second has looked."""

    def __init__(self, database: Database, hold: Hold) -> None:
        super().__init__(database)
        self.hold = hold

    async def attempts(self, decision_id: UUID) -> list[AttemptRow]:
        """Return the attempts as they were before the first arrival went on."""
        seen = await super().attempts(decision_id)
        await self.reserve(self.hold)
        return seen


def hold_of(decision_id: UUID, attempt_no: int) -> Hold:
    return Hold(
        key=f"{decision_id}/{attempt_no}",
        request_hash="h",
        decision_id=decision_id,
        attempt_no=attempt_no,
        token=uuid4(),
        owner="racer",
        model_id="openai/gpt-4o",
        provider="openai",
        policy="code",
        worst_case_usd=Decimal("0.01"),
        elastic_usd=Decimal("0.01"),
        task_cap_usd=None,
    )


async def test_attempt_that_a_racer_begins_meanwhile_is_not_counted_as_made(bench: Bench) -> None:
    decision_id = uuid4()
    hold = hold_of(decision_id, 1)
    raced = replace(bench.runtime, ledger=RacedLedger(bench.runtime.database, hold))
    # it asks for attempt 1, and waits
    assert await finished_attempt(raced, decision_id) == Finished(None, 0)


async def test_numbers_go_on_after_the_last_attempt_although_one_before_it_got_no_hold(
    bench: Bench,
) -> None:
    decision_id, ledger = uuid4(), bench.runtime.ledger
    hold = hold_of(decision_id, 2)
    reserved = await ledger.reserve(hold)
    assert isinstance(reserved, Reserved)
    assert await ledger.release(reserved.selection_id, hold.token, outcome="failed")
    assert await finished_attempt(bench.runtime, decision_id) == Finished(None, 2)
