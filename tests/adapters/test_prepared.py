from __future__ import annotations

import asyncio
import socket
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest
from psycopg.errors import AdminShutdown, DivisionByZero, LockNotAvailable
from psycopg.types.json import Jsonb

from models.errors import DatabaseFailed
from tasks.adapters.database import Database, open_database

pytestmark = pytest.mark.anyio
PID = "SELECT pg_backend_pid() AS pid"


async def test_a_prepared_statement_answers_as_a_plain_one(database: Database) -> None:
    query = (
        "SELECT %(name)s::text AS name, %(cost)s::numeric AS cost, %(id)s::uuid AS id,"
        " %(names)s::text[] AS names, %(json)s::jsonb AS json, %(at)s::timestamptz AS at,"
        " %(no)s::text AS no, %(yes)s::boolean AS yes, %(name)s::text AS again, 100 %% 7 AS two"
    )
    parameters = {
        "yes": True,
        "unused": object(),
        "name": "å 'quoted' %s \\",
        "cost": Decimal("0.0000001"),
        "id": uuid.uuid4(),
        "names": ["a,b", "c"],
        "json": Jsonb({"a": [1, None]}),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "no": None,
    }
    for _ in range(2):
        assert await database.fetch_prepared(query, parameters) == await database.fetch_all(
            query, parameters
        )


async def test_parameters_may_be_given_by_place(database: Database) -> None:
    query = "SELECT %s::int - %s::int AS left, NULL AS none"
    assert await database.fetch_prepared(query, (7, 2)) == [{"left": 5, "none": None}]
    assert await database.fetch_prepared(query, (7, 3)) == [{"left": 4, "none": None}]


async def test_a_statement_without_rows_answers_none(database: Database) -> None:
    assert await database.fetch_prepared("SELECT 1 AS one WHERE false") == []
    assert await database.fetch_prepared("UPDATE cost_budgets SET scope_key = scope_key") == []


async def test_a_failed_statement_leaves_its_connection_to_the_next(database: Database) -> None:
    (before,) = await database.fetch_prepared(PID)
    with pytest.raises(DatabaseFailed) as failed:
        await database.fetch_prepared("SELECT 1 / %s::int AS ratio", (0,))
    assert isinstance(failed.value.__cause__, DivisionByZero)
    assert await database.fetch_prepared(PID) == [before]


async def test_a_statement_that_cannot_be_prepared_fails_each_time(database: Database) -> None:
    for _ in range(2):
        with pytest.raises(DatabaseFailed, match="no_such_table"):
            await database.fetch_prepared("SELECT * FROM no_such_table")
    assert await database.fetch_prepared("SELECT 1 AS one") == [{"one": 1}]


async def test_a_value_that_cannot_be_sent_fails_before_it_is_sent(database: Database) -> None:
    query = "SELECT %s::text AS text"
    (before,) = await database.fetch_prepared(PID)
    with pytest.raises(DatabaseFailed, match="NUL"):
        await database.fetch_prepared(query, ("a\0b",))
    assert await database.fetch_prepared(query, ("ab",)) == [{"text": "ab"}]
    assert await database.fetch_prepared(PID) == [before]


async def test_a_statement_longer_than_the_socket_takes_at_once_arrives_whole(
    database: Database,
) -> None:
    query = "SELECT %s::text AS text"
    long = "x" * 30_000_000
    assert await database.fetch_prepared(query, (long,)) == [{"text": long}]


async def test_what_waits_for_a_lock_gives_up(database: Database) -> None:
    await database.execute("CREATE TABLE taken (id int)")
    async with database.connection() as other, other.transaction():
        await other.execute("LOCK TABLE taken")
        with pytest.raises(DatabaseFailed) as failed:
            await database.fetch_prepared("SELECT * FROM taken")
    assert isinstance(failed.value.__cause__, LockNotAvailable)
    assert await database.fetch_prepared("SELECT * FROM taken") == []


async def test_a_connection_cut_while_nobody_used_it_costs_no_statement(
    database: Database,
) -> None:
    (before,) = await database.fetch_prepared(PID)
    await database.execute("SELECT pg_terminate_backend(%s)", (before["pid"],))
    await asyncio.sleep(0.1)
    (after,) = await database.fetch_prepared(PID)
    assert after != before


async def test_the_end_of_a_lost_line_leaves_who_has_its_socket_number_alone(
    database: Database,
) -> None:
    await database.fetch_prepared(PID)
    (line,) = database._lines._free
    number = line._socket
    await database.execute("SELECT pg_terminate_backend(%s)", (line.connection.info.backend_pid,))
    await asyncio.sleep(0.1)
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    with ExitStack() as stack:
        ends: dict[int, socket.socket] = {}  # and their other ends
        while number not in ends:
            one, other = (stack.enter_context(end) for end in socket.socketpair())
            ends |= {one.fileno(): other, other.fileno(): one}
        loop.add_reader(number, heard.set)
        await database.drop_broken_connections()
        ends[number].send(b"x")
        await asyncio.wait_for(heard.wait(), 5)
        loop.remove_reader(number)


async def test_a_statement_that_is_cut_fails_with_what_the_server_said(database: Database) -> None:
    (before,) = await database.fetch_prepared(PID)
    cut = asyncio.create_task(database.fetch_prepared("SELECT pg_sleep(4)"))
    await asyncio.sleep(0.2)
    await database.execute("SELECT pg_terminate_backend(%s)", (before["pid"],))
    with pytest.raises(DatabaseFailed) as failed:
        await cut
    assert isinstance(failed.value.__cause__, AdminShutdown)
    assert await database.fetch_prepared("SELECT 1 AS one") == [{"one": 1}]


async def test_nobody_gets_the_answer_of_a_statement_that_was_given_up(database: Database) -> None:
    given_up = asyncio.create_task(
        database.fetch_prepared("SELECT pg_sleep(0.3), 'late' AS answer")
    )
    await asyncio.sleep(0.1)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    for number in range(5):
        rows = await database.fetch_prepared("SELECT %s::int AS answer", (number,))
        assert rows == [{"answer": number}]
        await asyncio.sleep(0.1)


async def test_one_after_the_other_shares_a_connection(database: Database) -> None:
    pids = [(await database.fetch_prepared(PID))[0]["pid"] for _ in range(5)]
    assert len(set(pids)) == 1


async def test_more_at_once_than_lines_are_all_answered_and_leave_plain_ones_room(
    database_url: str,
) -> None:
    async with open_database(database_url, pool_max=4) as database:
        asked = [
            database.fetch_prepared("SELECT pg_backend_pid() AS pid, pg_sleep(0.05)")
            for _ in range(20)
        ]
        rows = await asyncio.gather(*asked, *(database.fetch_all(PID) for _ in range(4)))
        assert len({row["pid"] for (row,) in rows}) <= 4
        held = [database.connection() for _ in range(2)]
        for one in held:
            await one.__aenter__()
        assert await database.fetch_prepared("SELECT 1 AS one") == [{"one": 1}]
        for one in held:
            await one.__aexit__(None, None, None)


async def test_a_pool_of_one_connection_serves_prepared_statements_too(database_url: str) -> None:
    async with open_database(database_url, pool_max=1) as database:
        assert await database.fetch_prepared("SELECT 1 AS one") == [{"one": 1}]


async def test_a_line_given_back_to_the_pool_can_be_one_again(database_url: str) -> None:
    async with open_database(database_url, pool_max=2) as database:
        pids = []
        for _ in range(3):
            pids += await database.fetch_prepared(PID)
            await database.drop_broken_connections()
        assert len({row["pid"] for row in pids}) <= 2
        query = "SELECT pid FROM pg_stat_activity WHERE pid = %s"
        assert await database.fetch_all(query, (pids[0]["pid"],)) == [pids[0]]


async def test_closing_the_database_closes_its_lines_without_a_word(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_database(database_url) as database:
        (row,) = await database.fetch_prepared(PID)
    await asyncio.sleep(0.1)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    with psycopg.connect(database_url) as other:
        alive = other.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (row["pid"],))
        assert alive.fetchone() == (0,)
