from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from models.attempt import AttemptRow, AttemptState, Bill, Hold, Reserved
from models.completion import GenerationRecord, KeySpend
from models.errors import OutcomeUnknown
from models.ledger import ReconcileReport, SweepReport
from tasks.adapters.database import Database
from tasks.adapters.ledger import Ledger, checkpoint_key, reconcile_unknown

pytestmark = pytest.mark.anyio


@dataclass
class Upstream:
    """What an upstream says about the past: costs by generation id, and the key's total."""

    costs: dict[str, Decimal] = field(default_factory=dict)
    usage_usd: Decimal = Decimal(0)
    is_down: bool = False

    async def generation(self, generation_id: str) -> GenerationRecord | None:
        if self.is_down:
            raise OutcomeUnknown("the upstream is down", 503)
        if generation_id not in self.costs:
            return None
        return GenerationRecord(
            generation_id, self.costs[generation_id], 10, 5, "OpenAI", False, "stop"
        )

    async def key_spend(self) -> KeySpend:
        if self.is_down:
            raise OutcomeUnknown("the upstream is down", 503)
        return KeySpend(self.usage_usd, self.usage_usd, self.usage_usd, self.usage_usd, None)


async def sent(ledger: Ledger, hold: Hold) -> Reserved:
    row = await ledger.reserve(hold)
    assert isinstance(row, Reserved)
    assert await ledger.mark_sent(row.selection_id, hold.token, 60)
    return row


async def lost(ledger: Ledger, hold: Hold, generation_id: str | None = None) -> Reserved:
    row = await sent(ledger, hold)
    await ledger.mark_unknown(row.selection_id, hold.token, "cut", "cut", generation_id)
    return row


async def age_unknown(database: Database, seconds: int) -> None:
    await database.execute(
        "UPDATE model_selections"
        " SET reconcile_after = reconcile_after - make_interval(secs => %(s)s),"
        " lease_expires_at = lease_expires_at - make_interval(secs => %(s)s),"
        " sent_at = sent_at - make_interval(secs => %(s)s),"
        " settled_at = settled_at - make_interval(secs => %(s)s)",
        {"s": seconds},
    )


async def read(ledger: Ledger, hold: Hold) -> AttemptRow:
    attempt = await ledger.attempt(hold.key)
    assert attempt is not None
    return attempt


async def held(ledger: Ledger) -> Decimal:
    return sum((state.reserved_amount for state in await ledger.budgets()), Decimal(0))


async def test_sweep_releases_what_was_never_sent_and_keeps_what_was(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    reserved_only, on_its_way, live = hold(), hold(), hold(lease_s=3600)
    await ledger.reserve(reserved_only)
    await sent(ledger, on_its_way)
    await ledger.reserve(live)
    await database.execute(
        "UPDATE model_selections SET lease_expires_at = clock_timestamp() - interval '1 s'"
        " WHERE idempotency_key <> %s",
        (live.key,),
    )
    assert await ledger.sweep() == SweepReport(released=1, unknown=1)
    assert await ledger.sweep() == SweepReport(released=0, unknown=0)
    assert (await read(ledger, reserved_only)).state is AttemptState.RELEASED
    assert (await read(ledger, on_its_way)).state is AttemptState.UNKNOWN
    assert await held(ledger) == Decimal("0.02")
    assert (await ledger.audit()).is_clean


async def test_sweepers_share_the_work_when_many_run(ledger, hold, budget, database) -> None:
    await ledger.set_budget(budget("5"))
    for _ in range(60):
        await ledger.reserve(hold())
    await age_unknown(database, 3600)
    reports = await asyncio.gather(*(ledger.sweep(10) for _ in range(12)))
    assert sum(report.released for report in reports) == 60
    assert await held(ledger) == 0
    assert (await ledger.audit()).is_clean


async def test_reconcile_books_what_the_generation_cost(ledger, hold, budget, database) -> None:
    await ledger.set_budget(budget("5"))
    mine, upstream = hold(), Upstream()
    await lost(ledger, mine, "gen-1")
    assert await reconcile_unknown(ledger, upstream) == ReconcileReport()  # first after 2 seconds
    await age_unknown(database, 2)
    assert await reconcile_unknown(ledger, upstream) == ReconcileReport(waiting=1)
    upstream.costs["gen-1"] = Decimal("0.0037")
    assert await reconcile_unknown(ledger, upstream) == ReconcileReport()  # next after 2 more
    await age_unknown(database, 2)
    assert await reconcile_unknown(ledger, upstream) == ReconcileReport(by_generation=1)
    attempt = await read(ledger, mine)
    assert (attempt.actual_cost_usd, attempt.settle_source, attempt.error) == (
        Decimal("0.0037"),
        "generation_api",
        "cut",
    )
    assert await held(ledger) == 0


async def test_reconcile_waits_longer_each_time_up_to_two_minutes(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    await lost(ledger, hold(), "gen-1")
    waits = []
    for _ in range(8):
        await database.execute("UPDATE model_selections SET reconcile_after = clock_timestamp()")
        assert len(await ledger.unknown_due()) == 1
        row = await database.fetch_one(
            "SELECT round(extract(epoch FROM reconcile_after - clock_timestamp())) AS s"
            " FROM model_selections"
        )
        assert row is not None
        waits.append(int(row["s"]))
    assert waits == [2, 4, 8, 16, 32, 64, 120, 120]


@pytest.mark.parametrize("generation_id", [None, "gen-nobody-knows"])
async def test_reconcile_assumes_the_hold_after_a_quarter_of_an_hour(
    ledger, hold, budget, database, generation_id
) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    await lost(ledger, mine, generation_id)
    await age_unknown(database, 14 * 60)
    report = await reconcile_unknown(ledger, Upstream(is_down=True))
    assert report.assumed == 0
    await age_unknown(database, 2 * 60)
    report = await reconcile_unknown(ledger, Upstream(is_down=True))
    assert report == ReconcileReport(assumed=1)
    attempt = await read(ledger, mine)
    assert (attempt.actual_cost_usd, attempt.settle_source) == (Decimal("0.01"), "assumed_max")
    report = await ledger.audit()
    assert (report.is_clean, report.assumed_rows) == (True, 1)


async def test_reconcile_takes_the_keys_difference_when_it_can_belong_to_nobody_else(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    upstream = Upstream(usage_usd=Decimal("7.5"))  # spent before there was a ledger
    assert await checkpoint_key(ledger, upstream)
    settled, mine = hold(), hold()
    row = await sent(ledger, settled)
    await ledger.settle(row.selection_id, Bill(Decimal("0.004"), "usage", "ok"))
    await lost(ledger, mine)
    upstream.usage_usd += Decimal("0.004") + Decimal("0.0063")
    await age_unknown_after_checkpoint(database)
    report = await reconcile_unknown(ledger, upstream)
    assert report == ReconcileReport(by_key=1)
    attempt = await read(ledger, mine)
    assert (attempt.actual_cost_usd, attempt.settle_source) == (Decimal("0.0063"), "key_delta")


async def age_unknown_after_checkpoint(database: Database) -> None:
    await database.execute("UPDATE key_checkpoints SET taken_at = taken_at - interval '1 hour'")
    await age_unknown(database, 16 * 60)


async def test_reconcile_assumes_when_the_key_cannot_decide(ledger, hold, budget, database) -> None:
    await ledger.set_budget(budget("5"))
    upstream = Upstream(usage_usd=Decimal(1))
    assert await checkpoint_key(ledger, upstream)
    await lost(ledger, hold())
    await lost(ledger, hold())  # two unknown, and one difference
    upstream.usage_usd += Decimal("0.005")
    await age_unknown_after_checkpoint(database)
    assert await reconcile_unknown(ledger, upstream) == ReconcileReport(assumed=2)


async def test_reconcile_books_nothing_when_the_key_spent_nothing(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    upstream = Upstream(usage_usd=Decimal(1))
    assert await checkpoint_key(ledger, upstream)
    await lost(ledger, hold())
    await lost(ledger, hold())
    await age_unknown_after_checkpoint(database)
    assert await reconcile_unknown(ledger, upstream) == ReconcileReport(by_key=2)
    assert (await ledger.audit()).spent_usd == 0


async def test_checkpoint_is_not_taken_while_a_call_is_open(ledger, hold, budget) -> None:
    await ledger.set_budget(budget("5"))
    await sent(ledger, hold())
    assert not await checkpoint_key(ledger, Upstream())


async def test_bill_of_a_lost_attempt_is_booked_when_its_worker_comes_back_first(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = await sent(ledger, mine)
    await age_unknown(database, 3600)
    await ledger.sweep()
    bill = Bill(Decimal("0.004"), "usage", "ok")
    assert (await ledger.settle(row.selection_id, bill)).state == "settled"
    answer = await ledger.resolve_unknown(
        row.selection_id, cost_usd=Decimal("0.01"), source="assumed_max"
    )
    assert answer.state == "already_settled"
    assert (await ledger.audit()).spent_usd == Decimal("0.004")


async def test_note_generation_lets_a_vanished_worker_s_call_be_priced(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    mine = hold()
    row = await sent(ledger, mine)
    assert await ledger.note_generation(row.selection_id, "gen-9")
    await age_unknown(database, 3600)
    await ledger.sweep()
    report = await reconcile_unknown(ledger, Upstream({"gen-9": Decimal("0.002")}))
    assert report == ReconcileReport(by_generation=1)


async def test_audit_names_a_balance_that_its_entries_do_not_explain(
    ledger, hold, budget, database
) -> None:
    await ledger.set_budget(budget("5"))
    await ledger.reserve(hold(task_cap_usd=Decimal(1)))
    assert (await ledger.audit()).is_clean
    await database.execute(
        "UPDATE cost_budgets SET spent_amount = 0.000000000001 WHERE budget_type = 'global'"
    )
    await database.execute("UPDATE cost_budgets SET reserved_amount = 0 WHERE budget_type = 'task'")
    report = await ledger.audit()
    assert {
        (part.budget, part.stated_spent_usd, part.true_spent_usd, part.true_held_usd)
        for part in report.differences
    } == {
        ("global daily", Decimal("1e-12"), 0, Decimal("0.01")),
        ("request limit", 0, 0, Decimal("0.01")),
    }
    assert report.as_dict()["is_clean"] is False
