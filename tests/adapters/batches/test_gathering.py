"""Calls made together share a statement; a ledger whose calls are gathered keeps every promise."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from models.attempt import Bill, Hold, Rejected, Reserved
from models.budget import BudgetDefinition
from models.errors import InvalidRequest
from tasks.adapters.batches.gathering import Gathered
from tasks.adapters.batches.ledger import GatheringLedger
from tasks.adapters.database import Database
from tasks.adapters.ledger import Ledger

pytestmark = pytest.mark.anyio


async def test_calls_made_together_are_answered_together_and_in_order() -> None:
    seen: list[list[int]] = []

    async def doubled(numbers: Sequence[int]) -> list[int]:
        seen.append(list(numbers))
        return [2 * number for number in numbers]

    double = Gathered(doubled, crowd=lambda: 5)
    assert await asyncio.gather(*(double(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert seen == [[0, 1, 2, 3, 4]]


async def test_bad_call_fails_alone() -> None:
    async def checked(numbers: Sequence[int]) -> list[int]:
        if 3 in numbers:
            raise InvalidRequest("three")
        return list(numbers)

    check = Gathered(checked, crowd=lambda: 5)
    answers = await asyncio.gather(*(check(number) for number in range(5)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["0", "1", "2", "three", "4"]


async def test_mistake_in_the_program_reaches_every_caller() -> None:
    async def broken(numbers: Sequence[int]) -> list[int]:
        raise KeyError(len(numbers))

    call = Gathered(broken, crowd=lambda: 2)
    answers = await asyncio.gather(call(1), call(2), return_exceptions=True)
    assert [repr(answer) for answer in answers] == ["KeyError(2)", "KeyError(2)"]


async def test_call_alone_is_not_kept_waiting() -> None:
    async def same(numbers: Sequence[int]) -> list[int]:
        return list(numbers)

    alone = Gathered(same)
    assert [await alone(number) for number in range(3)] == [0, 1, 2]


def hold(amount: str, **fields: Any) -> Hold:
    decision_id = uuid.uuid4()
    values: dict[str, Any] = {
        "key": f"{decision_id}/1",
        "request_hash": "hash",
        "attempt_no": 1,
        "token": uuid.uuid4(),
        "owner": "tests",
        "model_id": "openai/gpt-4o-mini",
        "provider": "openai",
        "policy": "normal",
        "worst_case_usd": Decimal(amount),
        "elastic_usd": Decimal(amount),
        "task_cap_usd": None,
        **fields,
    }
    return Hold(decision_id=decision_id, **values)


@pytest.fixture
async def ledger(database: Database) -> GatheringLedger:
    await database.execute("DELETE FROM budget_definitions")
    gathering = GatheringLedger(database, sent_lease_s=60, crowd=lambda: 40)
    for worker in ("a", "b"):
        await gathering.set_budget(
            BudgetDefinition(
                budget_type="worker",
                scope_key=worker,
                budget_period="daily",
                budget_amount=Decimal("0.10"),
            )
        )
    return gathering


async def test_holds_made_together_never_pass_the_limit(ledger: GatheringLedger) -> None:
    holds = [hold("0.01", worker_id=worker) for worker in ("a", "b") * 20]
    answers = await asyncio.gather(*(ledger.reserve(one) for one in holds))
    assert sum(isinstance(answer, Reserved) for answer in answers) == 20
    assert sum(isinstance(answer, Rejected) for answer in answers) == 20
    assert all(state.reserved_amount == Decimal("0.10") for state in await ledger.budgets())


async def test_racing_ledgers_neither_deadlock_nor_overspend(
    ledger: GatheringLedger, database: Database
) -> None:
    other = GatheringLedger(database, sent_lease_s=60, crowd=lambda: 40)
    single = Ledger(database)
    workers = ("a", "b") * 10
    answers = await asyncio.gather(
        *(ledger.reserve(hold("0.003", worker_id=worker)) for worker in workers),
        *(other.reserve(hold("0.003", worker_id=worker)) for worker in reversed(workers)),
        *(single.reserve(hold("0.003", worker_id=worker)) for worker in workers),
    )
    assert sum(isinstance(answer, Reserved) for answer in answers) == 60
    assert (await single.audit()).is_clean


async def test_bills_made_together_are_booked_each_once(
    ledger: GatheringLedger, database: Database
) -> None:
    holds = [hold("0.01", worker_id="a") for _ in range(5)]
    answers = [await ledger.reserve(one) for one in holds]
    ids = [answer.selection_id for answer in answers if isinstance(answer, Reserved)]
    bill = Bill(cost_usd=Decimal("0.002"), source="usage", outcome="ok", response={"content": "\0"})
    first = await asyncio.gather(*(ledger.settle(one, bill) for one in ids))
    again = await asyncio.gather(*(ledger.settle(one, bill) for one in ids))
    assert {settlement.state for settlement in first} == {"settled"}
    assert {settlement.state for settlement in again} == {"already_settled"}
    (state,) = [state for state in await ledger.budgets() if state.scope_key == "a"]
    assert (state.spent_amount, state.reserved_amount) == (Decimal("0.010"), 0)
    booked = await ledger.attempts(holds[0].decision_id)
    stored = await Ledger(database).attempts(holds[0].decision_id)
    same = ("selection_id", "state", "actual_cost_usd", "outcome", "estimated_cost_usd", "key")
    assert [getattr(booked[0], name) for name in same] == [
        getattr(stored[0], name) for name in same
    ]


async def test_hold_of_a_caller_that_is_cancelled_is_released(
    ledger: GatheringLedger, database: Database
) -> None:
    asked = asyncio.create_task(ledger.reserve(hold("0.01", worker_id="a")))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    rows = await database.fetch_all("SELECT state FROM model_selections")
    assert [row["state"] for row in rows] == ["RELEASED"]


async def test_mark_belongs_to_the_token_that_holds(ledger: GatheringLedger) -> None:
    mine = hold("0.01", worker_id="a")
    answer = await ledger.reserve(mine)
    assert isinstance(answer, Reserved)
    assert await ledger.mark_sent(answer.selection_id, mine.token, 30)
    assert not await ledger.mark_sent(answer.selection_id, uuid.uuid4(), 30)


async def test_ledger_keeps_nothing_of_a_decision_that_it_is_to_forget(
    ledger: GatheringLedger,
) -> None:
    first = hold("0.01", worker_id="a")
    answer = await ledger.reserve(first)
    assert isinstance(answer, Reserved)
    bill = Bill(cost_usd=Decimal("0.002"), source="usage", outcome="ok", response={})
    await ledger.settle(answer.selection_id, bill)
    await ledger.reserve(replace(first, attempt_no=2, key=f"{first.decision_id}/2"))
    assert (len(ledger._booked), len(ledger._several)) == (1, 1)
    ledger.forget(first.decision_id)
    assert (len(ledger._booked), len(ledger._several)) == (0, 0)
    assert len(await ledger.attempts(first.decision_id)) == 2  # as the database has them
