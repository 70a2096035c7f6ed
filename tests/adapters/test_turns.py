"""Turns under rate limits, in the database: `wait_s` is the database's word, nothing is slept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from models.rate_limit import Lesson, LimitOrder
from tasks.adapters.database import Database, open_database
from tasks.adapters.known_limits import KnownLimits, account_of
from tasks.adapters.settings import Settings
from tasks.adapters.store.limits import (
    Turn,
    learn_limit,
    read_limits,
    return_ticket,
    set_limit,
    take_turn,
)

pytestmark = pytest.mark.anyio

A, M, OTHER = "account", "openai/gpt-4o", "openai/gpt-4.1"
Ask = Callable[..., Awaitable[Turn]]


@pytest.fixture
def ask(database: Database) -> Ask:
    """Ask for a turn; a new ticket and a minute of patience unless said otherwise."""

    async def ask(
        worker: str = "w",
        model: str = M,
        ticket: UUID | None = None,
        patience_s: float = 60,
        account: str = A,
    ) -> Turn:
        return await take_turn(
            database,
            account,
            model_id=model,
            worker=worker,
            ticket=ticket or uuid4(),
            patience_s=patience_s,
            lease_s=60,
        )

    return ask


async def limit(database: Database, model: str = M, **numbers: float) -> None:
    await set_limit(database, A, LimitOrder.model_validate({"model": model} | numbers))


async def test_calls_go_in_a_burst_and_then_evenly_spaced(database, ask):
    # 60 in 6,000 s: a burst of 3, then one each 6,000 / 58 * 1.02 = 105.5 s
    await limit(database, requests=60, period_s=6000)
    turns = [await ask(patience_s=0) for _ in range(4)]
    assert [turn.answer for turn in turns] == ["go", "go", "go", "late"]
    assert turns[3].wait_s == pytest.approx(105.5, abs=5)


@pytest.mark.parametrize(("requests", "period_s"), [(1, 60), (2, 1), (60, 6), (1000, 60)])
async def test_no_window_ever_holds_more_calls_than_the_limit(database, requests, period_s):
    row = await database.fetch_one(
        "SELECT ledger.limit_burst(%(r)s) AS burst,"
        " extract(epoch FROM ledger.limit_space(%(r)s, %(p)s))::float AS space_s",
        {"r": requests, "p": float(period_s)},
    )
    later = int(period_s / row["space_s"])  # those of a half-open window after its first moment
    if later * row["space_s"] == period_s:
        later -= 1
    assert row["burst"] + later <= requests
    assert row["burst"] + later >= 0.9 * requests - 1


async def test_turn_of_who_waits_comes_closer_by_one_space_for_each_before(database, ask):
    await limit(database, requests=3, period_s=9)  # burst 1, one each 3.06 s
    assert (await ask()).answer == "go"
    waits = [await ask("w") for _ in range(3)]
    assert [turn.answer for turn in waits] == ["wait"] * 3
    # half of 3.06, 6.12 and 9.18 s: they ask again on the way
    for number, turn in enumerate(waits, start=1):
        assert turn.wait_s == pytest.approx(3.06 * number / 2, abs=1)


async def test_call_that_would_wait_too_long_is_told_so_at_once_and_leaves_the_queue(database, ask):
    await limit(database, requests=1, period_s=100)
    await ask()
    turn = await ask(patience_s=5)
    assert (turn.answer, turn.scope) == ("late", M)
    assert turn.wait_s == pytest.approx(102, abs=1)
    (found,) = await read_limits(database, A)
    assert (found.waiting, found.refusals, found.turns) == (0, 1, 1)


async def test_worker_with_one_call_goes_before_the_second_of_a_worker_with_many(database, ask):
    await limit(database, requests=1, period_s=100)
    await ask("greedy")
    many = [uuid4() for _ in range(10)]
    for ticket in many:
        await ask("greedy", ticket=ticket, patience_s=5000)
    modest = await ask("modest", patience_s=10_000)
    assert modest.answer == "wait"
    last = await ask("greedy", ticket=many[-1], patience_s=10)
    # 9 greedy ones are before it, and now the modest one: its turn is the 11th
    assert (last.answer, last.wait_s) == ("late", pytest.approx(11 * 102, abs=2))
    second = await ask("greedy", ticket=many[1], patience_s=10)
    # after the first greedy one, which came earlier in the same round, and the modest one
    assert (second.answer, second.wait_s) == ("late", pytest.approx(3 * 102, abs=2))


async def test_waiting_worker_with_fewer_turns_is_served_first(database, ask):
    await limit(database, requests=1, period_s=0.5)
    await ask("greedy")
    greedy, modest = [uuid4() for _ in range(5)], uuid4()
    for ticket in greedy:
        await ask("greedy", ticket=ticket)
    await ask("modest", ticket=modest)
    served = []
    for _ in range(3):
        await asyncio.sleep(0.52)
        for ticket in (*reversed(greedy), modest):
            if ticket not in served and (await ask("-", ticket=ticket)).answer == "go":
                served.append(ticket)
    assert modest in served[:2]
    assert [ticket for ticket in served if ticket in greedy] == greedy[: len(served) - 1]


async def test_limit_of_one_model_does_not_hold_another(database, ask):
    await limit(database, requests=1, period_s=100)
    await ask()
    assert (await ask(model=OTHER)).answer == "go"


async def test_calls_held_by_a_models_limit_do_not_hold_those_under_the_keys(database, ask):
    await limit(database, M, requests=1, period_s=100)
    await limit(database, "*", requests=1, period_s=1)
    await ask()
    for _ in range(5):
        await ask(patience_s=1000)
    turn = await ask("other", model=OTHER)
    assert (turn.answer, turn.scope) == ("wait", "*")
    assert turn.wait_s <= 1.02 / 2, "its turn is the next one of the key"


async def test_limit_of_the_key_holds_every_model(database, ask):
    await limit(database, "*", requests=1, period_s=100)
    await ask()
    assert (await ask(model=OTHER, patience_s=1)).answer == "late"


async def test_limit_of_free_models_holds_only_those(database, ask):
    await limit(database, "*:free", requests=1, period_s=100)
    await ask(model="a/b:free")
    assert (await ask(model="c/d:free", patience_s=1)).answer == "late"
    assert (await ask(model=M)).answer == "go"


async def test_keys_of_other_accounts_are_not_held(database, ask):
    await limit(database, "*", requests=1, period_s=100)
    await ask()
    assert (await ask(account="another")).answer == "go"


async def test_concurrency_counts_calls_until_they_end(database, ask):
    await limit(database, concurrency=2)
    tickets = [uuid4(), uuid4()]
    turns = [await ask(ticket=ticket) for ticket in tickets]
    assert [(turn.answer, turn.must_return) for turn in turns] == [("go", True)] * 2
    waiting = uuid4()
    assert (await ask(ticket=waiting)).answer == "wait"
    await return_ticket(database, tickets[0])
    assert (await ask(ticket=waiting)).answer == "go"


async def test_call_of_a_process_that_died_counts_until_its_lease_ends(database, ask):
    await limit(database, concurrency=1)
    await ask()
    await database.execute("UPDATE rate_tickets SET expires_at = now() - interval '1 second'")
    assert (await ask()).answer == "go"


async def test_lesson_blocks_its_scope_for_every_process_and_ends_by_itself(
    database, database_url, ask
):
    await learn_limit(database, A, Lesson("*", 30, 60, 60, 930))
    async with open_database(database_url) as elsewhere:
        turn = await take_turn(
            elsewhere,
            A,
            model_id=OTHER,
            worker="x",
            ticket=uuid4(),
            patience_s=1,
            lease_s=1,
        )
    assert (turn.answer, turn.scope) == ("late", "*")
    assert turn.wait_s == pytest.approx(30, abs=1)
    await database.execute("UPDATE rate_limits SET expires_at = now() - interval '1 second'")
    assert (await ask()).answer == "go"
    assert await read_limits(database, A) == []


async def test_second_lesson_without_a_number_keeps_the_pace_of_the_first(database):
    await learn_limit(database, A, Lesson("*", 1, 20, 60, 900))
    await learn_limit(database, A, Lesson("*", 40, None, 60, 40))
    (found,) = await read_limits(database, A)
    assert (found.requests, found.lessons, found.source) == (20, 2, "learned")
    assert found.blocked_until is not None


async def test_lesson_teaches_no_pace_where_a_person_set_one(database):
    await limit(database, "*", requests=24, period_s=6)
    await learn_limit(database, A, Lesson("*", 5, 24, 60, 3605))
    learned, _ = await read_limits(database, A)
    assert (learned.source, learned.requests) == ("learned", None)
    assert (learned.expires_at - learned.blocked_until).total_seconds() < 1


async def test_limit_without_numbers_is_removed_with_what_was_learned(database):
    await limit(database, "*", requests=5)
    await learn_limit(database, A, Lesson("*", 100, 20, 60, 900))
    assert [found.source for found in await read_limits(database, A)] == ["learned", "set"]
    await limit(database, "*")
    assert await read_limits(database, A) == []


async def test_many_who_ask_at_once_get_no_more_turns_than_there_are(database, ask):
    await limit(database, requests=40, period_s=1000)  # a burst of 2
    turns = await asyncio.gather(*(ask(f"w{n % 3}", patience_s=0) for n in range(40)))
    assert [turn.answer for turn in turns].count("go") == 2


async def test_process_that_knows_no_limit_asks_the_database_once_for_many_calls(database, mocker):
    reads = mocker.spy(database, "fetch_all")
    known = KnownLimits(database, A)
    assert not any(await asyncio.gather(*(known.concern(M) for _ in range(100))))
    assert reads.call_count == 1


async def test_process_hears_of_a_limit_that_another_one_set(database):
    known = KnownLimits(database, A)
    assert not await known.concern(M)
    await limit(database, requests=5)
    known.forget()
    assert await known.concern(M)
    assert not await known.concern(OTHER)


def test_fingerprint_of_a_key_differs_by_key_and_upstream_and_does_not_show_it():
    def name(url: str | None, key: str | None) -> str:
        secret = None if key is None else SecretStr(key)
        return account_of(Settings(openrouter_base_url=url, openrouter_api_key=secret))

    urls = ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    names = {name(url, key) for url in urls for key in ("sk-1", "sk-2", None)}
    assert len(names) == 6
    assert not any("sk-" in found for found in names)
    assert name(None, None) == "simulated"
