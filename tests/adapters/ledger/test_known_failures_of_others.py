"""What went wrong in other routers, tried here; numbers as in docs/peers.md, section 3."""

from __future__ import annotations

import asyncio
import uuid
from decimal import Decimal

import psycopg
import pytest

from models.attempt import AttemptState, Bill, Rejected, Replay, Reserved
from models.completion import Usage
from models.errors import DatabaseFailed
from models.pricing import TokenPrice, cost_usd
from tasks.adapters.database import open_database
from tasks.adapters.ledger import Ledger

pytestmark = pytest.mark.anyio
CENT = Decimal("0.01")


async def test_concurrent_first_requests_do_not_pass_the_budget_together(
    ledger, hold, budget
) -> None:
    """1, 2 (litellm#34732, #40095): checks before anything was recorded let all of them pass."""
    await ledger.set_budget(budget("0.03", budget_type="worker"))
    answers = await asyncio.gather(*(ledger.reserve(hold()) for _ in range(24)))
    assert sum(isinstance(answer, Reserved) for answer in answers) == 3
    assert sum(isinstance(answer, Rejected) for answer in answers) == 21


async def test_failed_reservation_refuses_the_call(database_url, hold) -> None:
    """5 (litellm#33923): fail_closed did not reject when the reservation write failed."""
    async with open_database(database_url) as database:
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute("DROP TABLE model_selections CASCADE")
        with pytest.raises(DatabaseFailed):
            await Ledger(database).reserve(hold())


async def test_budget_is_one_for_all_replicas(database_url, ledger, hold, budget) -> None:
    """6 (bifrost#3547): N replicas had N times the budget."""
    await ledger.set_budget(budget("0.05"))
    async with open_database(database_url) as one, open_database(database_url) as two:
        replicas = (ledger, Ledger(one), Ledger(two))
        answers = await asyncio.gather(*(replicas[n % 3].reserve(hold()) for n in range(18)))
    assert sum(isinstance(answer, Reserved) for answer in answers) == 5


async def test_leaked_holds_do_not_lock_out_a_caller_with_nothing_spent(
    ledger, hold, budget, database
) -> None:
    """13, 18 (litellm#27639, otari#128): phantom reservations refused everybody."""
    await ledger.set_budget(budget("0.05"))
    for _ in range(5):
        await ledger.reserve(hold())
    assert isinstance(await ledger.reserve(hold()), Rejected)
    await database.execute("UPDATE model_selections SET lease_expires_at = clock_timestamp()")
    await ledger.sweep()
    assert isinstance(await ledger.reserve(hold()), Reserved)


async def test_failed_clean_up_never_counts_the_hold_and_the_bill(
    ledger, hold, budget, database
) -> None:
    """16 (litellm#35569, #40050): reserved and actual cost stayed, both."""
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = await ledger.reserve(mine)
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    await database.execute("UPDATE model_selections SET lease_expires_at = clock_timestamp()")
    bill = Bill(Decimal("0.004"), "usage", "ok")
    await asyncio.gather(
        *(ledger.settle(row.selection_id, bill) for _ in range(4)),
        *(ledger.sweep() for _ in range(4)),
        *(ledger.release(row.selection_id, mine.token, outcome="failed") for _ in range(2)),
    )
    (state,) = await ledger.budgets()
    assert (state.spent_amount, state.reserved_amount) == (Decimal("0.004"), 0)


async def test_worst_case_holds_use_a_budget_to_the_last_digit(ledger, hold, budget) -> None:
    """17 (litellm PR#38647): a $25 budget was full at 25.000000000000004 with nothing spent."""
    await ledger.set_budget(budget("0.3"))
    for _ in range(3):
        assert isinstance(await ledger.reserve(hold(worst_case_usd=Decimal("0.1"))), Reserved)
    (state,) = await ledger.budgets()
    assert state.remaining_amount == 0


async def test_streamed_cost_is_not_lost_when_the_worker_vanishes_mid_stream(
    ledger, hold, budget, database
) -> None:
    """19 (litellm#37923, #13245): a stream that ended without usage was booked at zero."""
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = await ledger.reserve(mine)
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    await ledger.note_generation(row.selection_id, "gen-1")
    await database.execute("UPDATE model_selections SET lease_expires_at = clock_timestamp()")
    await ledger.sweep()
    (state,) = await ledger.budgets()
    assert state.reserved_amount == CENT  # held until the bill is known
    (due,) = await ledger.unknown_due()
    assert due.generation_id == "gen-1"


async def test_cached_and_reasoning_tokens_are_paid_at_their_own_price() -> None:
    """20, 22, 24 (litellm#36083, #12982, bifrost#904): cached paid plain, reasoning not."""
    price = TokenPrice(
        prompt_usd=Decimal("1e-6"),
        completion_usd=Decimal("2e-6"),
        cache_read_usd=Decimal("1e-7"),
    )
    usage = Usage(
        prompt_tokens=1000, completion_tokens=110, cached_tokens=400, reasoning_tokens=100
    )
    # 600 plain, 400 cached; 110 completion tokens of which 100 are reasoning
    assert cost_usd(price, usage) == Decimal("0.00060") + Decimal("0.00004") + Decimal("0.00022")


async def test_retry_of_a_paid_call_pays_nothing(ledger, hold, budget) -> None:
    """32, 34 (ComfyUI PR#16204, posthog PR#72670): a lost answer was asked for, and paid, again."""
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = await ledger.reserve(mine)
    await ledger.mark_sent(row.selection_id, mine.token, 60)
    bill = Bill(Decimal("0.004"), "usage", "ok", response={"content": "42"})
    await ledger.settle(row.selection_id, bill)
    again = await ledger.reserve(
        hold(decision_id=mine.decision_id, key=mine.key, token=uuid.uuid4())
    )
    assert isinstance(again, Replay)
    assert again.attempt.state is AttemptState.SETTLED
    assert again.attempt.response == {"content": "42"}
    assert not await ledger.mark_sent(row.selection_id, mine.token, 60)
    assert (await ledger.audit()).spent_usd == Decimal("0.004")


async def test_two_layers_that_retry_cannot_multiply_attempts_past_the_cap(
    ledger, hold, budget
) -> None:
    """31, 33 (litellm#12358, workflowbuilder PR#117): (1+N)^2 paid calls for one failure."""
    await ledger.set_budget(budget("5"))
    decision_id = uuid.uuid4()
    admitted = 0
    for attempt_no in range(1, 10):
        answer = await ledger.reserve(
            hold(decision_id=decision_id, attempt_no=attempt_no, task_cap_usd=3 * CENT)
        )
        admitted += isinstance(answer, Reserved)
    assert admitted == 3


async def test_reset_happens_though_no_job_runs(ledger, hold, budget, database) -> None:
    """39 (litellm#20532, #34492): budgets were never reset; adding a window refused at once."""
    await ledger.set_budget(budget("0.01"))
    assert isinstance(await ledger.reserve(hold()), Reserved)
    assert isinstance(await ledger.reserve(hold()), Rejected)
    await database.execute(
        "UPDATE cost_budgets SET period_start = period_start - interval '1 day',"
        " period_end = period_end - interval '1 day'"
    )
    assert isinstance(await ledger.reserve(hold()), Reserved)
    await ledger.set_budget(budget("1", budget_period="weekly"))
    (room,) = [r for r in await ledger.head_room(policy="normal") if r.budget_period == "weekly"]
    assert room.remaining_amount == 1
