from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest

from models.attempt import (
    AttemptState,
    Bill,
    Rejected,
    Replay,
    ReserveAnswer,
    Reserved,
    Uncovered,
)
from models.errors import DatabaseFailed, IdempotencyConflict
from tasks.adapters.database import Database
from tasks.adapters.ledger import Ledger

pytestmark = pytest.mark.anyio
HASH_OF_ANOTHER_REQUEST = "other"


def usage_bill(cost: str, **fields: Any) -> Bill:
    return Bill(cost_usd=Decimal(cost), source="usage", outcome="ok", **fields)


def reserved(answer: ReserveAnswer) -> Reserved:
    assert isinstance(answer, Reserved), answer
    return answer


async def balance(ledger: Ledger, name: str = "global daily") -> tuple[Decimal, Decimal]:
    """Return (spent, held) of one budget."""
    states = {state.name: state for state in await ledger.budgets()}
    return states[name].spent_amount, states[name].reserved_amount


async def expire_leases(database: Database) -> None:
    await database.execute(
        "UPDATE model_selections SET lease_expires_at = clock_timestamp() - interval '1 second'"
    )


async def test_reserve_holds_the_worst_case_in_every_covering_budget(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    await ledger.set_budget(budget("1", budget_type="worker", scope_key="*"))
    await ledger.set_budget(budget("1", budget_type="model", budget_period="monthly"))
    reserved(await ledger.reserve(hold(worst_case_usd=Decimal("0.02"))))
    held = {state.name: state.reserved_amount for state in await ledger.budgets()}
    assert held["global daily"] == held["worker:w1 daily"] == Decimal("0.02")
    assert held["model:openai/gpt-4o-mini monthly"] == Decimal("0.02")


async def test_reserve_holds_nothing_anywhere_when_one_budget_is_full(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    await ledger.set_budget(budget("0.005", budget_type="worker", scope_key="w1"))
    answer = await ledger.reserve(hold())
    assert isinstance(answer, Rejected)
    assert [(part.budget, part.remaining_usd) for part in answer.blocking] == [
        ("worker:w1 daily", Decimal("0.005"))
    ]
    assert await balance(ledger) == (0, 0)
    assert (await ledger.audit()).entries == 0


async def test_reserve_refuses_a_paid_call_when_no_definition_covers_it(ledger, hold) -> None:
    assert isinstance(await ledger.reserve(hold()), Uncovered)


async def test_reserve_admits_a_free_call_without_any_definition(ledger, hold) -> None:
    reserved(await ledger.reserve(hold(worst_case_usd=Decimal(0))))


async def test_reserve_admits_a_free_call_when_the_budget_is_overspent(
    ledger, hold, budget
) -> None:
    await ledger.set_budget(budget("0.01"))
    paid = hold()
    row = reserved(await ledger.reserve(paid))
    await ledger.mark_sent(row.selection_id, paid.token, 60)
    await ledger.settle(row.selection_id, usage_bill("0.02"))
    reserved(await ledger.reserve(hold(worst_case_usd=Decimal(0))))


async def test_reserve_ignores_an_inactive_definition(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5", is_active=False))
    assert isinstance(await ledger.reserve(hold()), Uncovered)


async def test_reserve_bounds_all_attempts_of_a_decision_by_its_cap(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    decision_id, cap = uuid.uuid4(), Decimal("0.015")
    reserved(await ledger.reserve(hold(decision_id=decision_id, task_cap_usd=cap)))
    answer = await ledger.reserve(hold(decision_id=decision_id, attempt_no=2, task_cap_usd=cap))
    assert isinstance(answer, Rejected)
    assert answer.blocking[0].budget == "request limit"
    assert answer.blocking[0].remaining_usd == Decimal("0.005")
    rooms = await ledger.head_room(policy="normal", decision_id=decision_id)
    assert [room.remaining_amount for room in rooms] == [Decimal("4.99"), Decimal("0.005")]


async def test_reserve_holds_the_quantile_in_elastic_budgets_only(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    await ledger.set_budget(budget("5", budget_period="monthly", mode="elastic"))
    reserved(
        await ledger.reserve(hold(worst_case_usd=Decimal("0.10"), elastic_usd=Decimal("0.03")))
    )
    assert await balance(ledger, "global daily") == (0, Decimal("0.10"))
    assert await balance(ledger, "global monthly") == (0, Decimal("0.03"))
    assert (await ledger.audit()).is_clean


async def test_reserve_answers_the_row_when_the_key_is_known(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    first = hold()
    row = reserved(await ledger.reserve(first))
    again = await ledger.reserve(
        hold(decision_id=first.decision_id, key=first.key, owner="somebody else")
    )
    assert isinstance(again, Replay)
    assert again.attempt.selection_id == row.selection_id
    assert again.attempt.lease_live
    assert await balance(ledger) == (0, Decimal("0.01"))


async def test_reserve_gives_its_hold_again_to_the_token_that_lost_the_answer(
    ledger, hold, budget
) -> None:
    await ledger.set_budget(budget("5"))
    first = hold()
    assert await ledger.reserve(first) == await ledger.reserve(first)
    assert await balance(ledger) == (0, Decimal("0.01"))


async def test_reserve_refuses_a_known_key_with_another_request(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    first = hold()
    await ledger.reserve(first)
    with pytest.raises(IdempotencyConflict):
        await ledger.reserve(hold(key=first.key, request_hash=HASH_OF_ANOTHER_REQUEST))


@pytest.mark.parametrize("worst_case", ["-0.01", "NaN", "Infinity", "1e9"])
async def test_reserve_refuses_what_is_no_money(ledger, hold, budget, worst_case) -> None:
    await ledger.set_budget(budget("5"))
    with pytest.raises(ValueError, match="amount"):
        await ledger.reserve(hold(worst_case_usd=Decimal(worst_case)))


async def test_mark_sent_lets_only_the_holder_of_the_token_send(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    assert not await ledger.mark_sent(row.selection_id, uuid.uuid4(), 60)
    assert await ledger.mark_sent(row.selection_id, mine.token, 60)
    assert await ledger.mark_sent(row.selection_id, mine.token, 60)  # a lost acknowledgement
    assert not await ledger.mark_sent(row.selection_id, uuid.uuid4(), 60)


async def test_mark_sent_refuses_when_the_lease_has_expired(ledger, hold, budget, database) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    await expire_leases(database)
    assert not await ledger.mark_sent(row.selection_id, mine.token, 60)
    assert not await ledger.extend_lease(row.selection_id, mine.token, 60)


async def test_extend_lease_keeps_a_flowing_stream_from_the_sweep(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    await expire_leases(database)
    assert await ledger.extend_lease(row.selection_id, mine.token, 60)
    assert (await ledger.sweep()).unknown == 0


async def test_settle_books_the_bill_and_frees_the_hold_once(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    bill = usage_bill("0.004", response={"content": "hi"}, prompt_tokens=3, completion_tokens=4)
    assert (await ledger.settle(row.selection_id, bill)).state == "settled"
    assert (await ledger.settle(row.selection_id, bill)).state == "already_settled"
    assert await balance(ledger) == (Decimal("0.004"), 0)
    attempt = await ledger.attempt(mine.key)
    assert attempt is not None
    assert (attempt.state, attempt.response) == (AttemptState.SETTLED, {"content": "hi"})
    assert await ledger.attempts(mine.decision_id) == [attempt]


async def test_settle_books_a_cost_above_the_hold_in_full_and_blocks_admission(
    ledger, hold, budget
) -> None:
    await ledger.set_budget(budget("0.05"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    settlement = await ledger.settle(row.selection_id, usage_bill("0.06"))
    assert settlement.overrun_usd == Decimal("0.05")
    assert await balance(ledger) == (Decimal("0.06"), 0)
    assert isinstance(await ledger.reserve(hold(worst_case_usd=Decimal("1e-12"))), Rejected)
    report = await ledger.audit()
    assert (report.is_clean, report.overrun_rows) == (True, 1)


async def test_settle_books_late_when_the_hold_was_released(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    assert await ledger.release(row.selection_id, mine.token, outcome="failed")
    assert (await ledger.settle(row.selection_id, usage_bill("0.004"))).state == "late"
    assert (await ledger.settle(row.selection_id, usage_bill("0.004"))).state == "already_settled"
    assert await balance(ledger) == (Decimal("0.004"), 0)


async def test_settle_refuses_an_attempt_that_was_never_sent(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    row = reserved(await ledger.reserve(hold()))
    assert (await ledger.settle(row.selection_id, usage_bill("0.004"))).state == "not_sent"
    assert (await ledger.settle(uuid.uuid4(), usage_bill("0.004"))).state == "not_found"
    assert await balance(ledger) == (0, Decimal("0.01"))


async def test_settle_refuses_a_negative_cost(ledger, hold, budget, database) -> None:
    with pytest.raises(ValueError, match="amount"):
        await ledger.settle(uuid.uuid4(), usage_bill("-0.01"))
    await ledger.set_budget(budget("5"))
    row = reserved(await ledger.reserve(hold()))
    with pytest.raises(DatabaseFailed, match="a bill cannot be negative"):
        await database.execute(
            "SELECT ledger.settle(%s, -1, 'usage', 'ok', NULL, NULL, NULL, NULL, 1, 1, 0, 0, 1,"
            " NULL, NULL, NULL)",
            (row.selection_id,),
        )


async def test_reserve_refuses_a_negative_hold(hold, budget, ledger, database) -> None:
    await ledger.set_budget(budget("5"))
    with pytest.raises(DatabaseFailed, match="a hold cannot be negative"):
        await database.execute(
            "SELECT ledger.reserve('k', 'h', %(id)s, 1, %(id)s, 'me', 'm', 'p', 'normal', -1, 1,"
            " NULL, NULL, NULL, NULL, NULL, false, interval '1 minute')",
            {"id": uuid.uuid4()},
        )
    assert await balance(ledger) == (0, 0)


async def test_settle_books_the_bill_whatever_the_answer_holds(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    hostile = {"nul\0": ["\ud800", float("nan"), float("inf"), Decimal("0.1"), {"a": None}]}
    bill = usage_bill(
        "0.004", response=hostile, error="\0" * 9000, prompt_tokens=10**20, completion_tokens=-1
    )
    assert (await ledger.settle(row.selection_id, bill)).state == "settled"
    attempt = await ledger.attempt(mine.key)
    assert attempt is not None
    assert attempt.response == {"nul\ufffd": ["?", None, None, "0.1", {"a": None}]}


async def test_settle_names_an_alert_once_a_period(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("0.10", alert_threshold=Decimal("0.5")))
    alerts = []
    for _ in range(4):
        mine = hold(worst_case_usd=Decimal("0.02"))
        row = reserved(await ledger.reserve(mine))
        await ledger.mark_sent(row.selection_id, mine.token, 60)
        alerts.append((await ledger.settle(row.selection_id, usage_bill("0.02"))).alerts)
    assert alerts == [(), (), ("global daily",), ()]  # 0.06 of 0.10 is the first above 0.05


async def test_release_gives_the_hold_back_once(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    assert not await ledger.release(row.selection_id, uuid.uuid4(), outcome="failed")
    assert await ledger.release(row.selection_id, mine.token, outcome="failed", error="429")
    assert await ledger.release(row.selection_id, mine.token, outcome="failed", error="429")
    assert await balance(ledger) == (0, 0)
    attempt = await ledger.attempt(mine.key)
    assert attempt is not None
    assert (attempt.actual_cost_usd, attempt.error) == (0, "429")


async def test_release_refuses_an_attempt_whose_bill_is_unknown(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = reserved(await ledger.reserve(mine))
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    assert await ledger.mark_unknown(row.selection_id, mine.token, "timeout", "timeout", "gen-1")
    assert not await ledger.release(row.selection_id, mine.token, outcome="failed")
    assert await balance(ledger) == (0, Decimal("0.01"))


async def test_claim_installation_keeps_simulated_and_real_money_apart(ledger) -> None:
    await ledger.claim_installation(simulated=True)
    await ledger.claim_installation(simulated=True)
    with pytest.raises(Exception, match="holds simulated money"):
        await ledger.claim_installation(simulated=False)
