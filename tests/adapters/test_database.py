from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest
from psycopg import sql

from models.errors import DatabaseFailed, InvalidConfiguration
from tasks.adapters.database import Database, open_database

pytestmark = pytest.mark.anyio


async def test_open_refuses_a_database_that_commits_asynchronously(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name))
        )
    with pytest.raises(InvalidConfiguration, match="synchronous_commit"):
        async with open_database(database_url):
            pass


async def test_open_refuses_a_role_that_commits_asynchronously(database_url: str) -> None:
    role = f"role_{uuid.uuid4().hex}"
    with psycopg.connect(database_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD 'pw'").format(sql.Identifier(role))
        )
        admin.execute(
            sql.SQL("ALTER ROLE {} SET synchronous_commit = off").format(sql.Identifier(role))
        )
    query = database_url.split("?", 1)[1]
    url = f"postgresql://{role}:pw@/{name}?{query}"
    with pytest.raises(InvalidConfiguration, match="synchronous_commit"):
        async with open_database(url):
            pass
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.mark.parametrize(
    "damage",
    ["DROP SCHEMA ledger CASCADE", "DELETE FROM alembic_version", "DROP TABLE alembic_version"],
)
async def test_open_names_the_upgrade_command_when_the_schema_is_old(
    database_url: str, damage: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(damage.encode())
    with pytest.raises(InvalidConfiguration, match="switchyard db upgrade"):
        async with open_database(database_url):
            pass


async def test_open_fails_in_one_line_without_the_password_when_nobody_answers() -> None:
    with pytest.raises(DatabaseFailed) as failed:
        async with open_database("postgresql://me:s3cret@127.0.0.1:9/db"):
            pass
    assert "s3cret" not in str(failed.value)
    assert "\n" not in str(failed.value)


async def test_every_connection_gives_up_on_locks_and_long_statements(database: Database) -> None:
    row = await database.fetch_one(
        "SELECT current_setting('lock_timeout') AS lock,"
        " current_setting('statement_timeout') AS statement,"
        " current_setting('idle_in_transaction_session_timeout') AS idle,"
        " current_setting('synchronous_commit') AS commits"
    )
    assert row == {"lock": "2s", "statement": "5s", "idle": "5s", "commits": "on"}


async def test_connection_fails_closed_when_the_pool_is_exhausted(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.adapters.database.POOL_TIMEOUT_S", 0.2)
    async with open_database(database_url, pool_max=1) as database, database.connection():
        with pytest.raises(DatabaseFailed):
            await database.fetch_all("SELECT 1")


async def test_connection_fails_closed_when_the_database_is_read_only(database: Database) -> None:
    with pytest.raises(DatabaseFailed, match="read-only"):
        async with database.connection() as connection:
            await connection.execute("SET default_transaction_read_only = on")
            await connection.execute("DELETE FROM installation")


async def test_patient_transaction_has_no_statement_timeout(database: Database) -> None:
    async with database.patient_transaction() as connection:
        row = await (
            await connection.execute("SELECT current_setting('statement_timeout') AS t")
        ).fetchone()
    assert row == {"t": "0"}


async def test_queries_run_side_by_side(database: Database) -> None:
    rows = await asyncio.gather(*(database.fetch_one("SELECT 1 AS one") for _ in range(40)))
    assert rows == [{"one": 1}] * 40
