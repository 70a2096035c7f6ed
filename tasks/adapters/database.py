"""The one way to the database: a pool whose every connection fails fast and commits for sure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed

from models.errors import DatabaseFailed, InvalidConfiguration, SchemaOutdated
from tasks.adapters.database_url import libpq_url, redacted
from tasks.adapters.migrations import expected_schema
from tasks.adapters.prepared import Lines, Parameters

SERVER_VERSION_MIN = 150000
CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 5.0
POOL_MAX = 16
# docs/ledger.md 2.4: nobody waits long for a lock, and nobody who vanished keeps one. A statement
# that is planned while its table is small keeps its plan while the table grows: so none of them
# may read whole tables where there is an index, but those of reports may.
SESSION_SETTINGS = (
    "SET lock_timeout = '2s'; SET statement_timeout = '5s';"
    " SET idle_in_transaction_session_timeout = '5s'; SET TIME ZONE 'UTC';"
    " SET enable_seqscan = off; SET jit = off"
)
REPORT_SETTINGS = "SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on"


class Database:
    """A pool of connections in autocommit mode; every foreign error becomes DatabaseFailed."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[DictRow]]) -> None:
        self._pool, self._lines = pool, Lines(pool)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Yield a connection; a statement of its own is its own transaction."""
        with translated_errors():
            async with self._pool.connection() as connection:
                yield connection

    @asynccontextmanager
    async def patient_transaction(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Yield a connection in one transaction without statement_timeout: for reports."""
        async with self.connection() as connection, connection.transaction():
            await connection.execute(REPORT_SETTINGS)
            yield connection

    async def fetch_all(self, query: LiteralString, parameters: Parameters = ()) -> list[DictRow]:
        """Run one statement and return its rows."""
        async with self.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()

    async def fetch_prepared(
        self, query: LiteralString, parameters: Parameters = ()
    ) -> list[DictRow]:
        """Do as `fetch_all`, quicker, for a statement that is run again and again.

        The server infers what its parameters are. One that is cancelled may still be carried out.
        """
        with translated_errors():
            line = await self._lines.take()
            if line is not None:
                try:
                    return await line.fetch_all(query, parameters)
                finally:
                    await self._lines.give_back(line)
        return await self.fetch_all(query, parameters)

    async def fetch_one(self, query: LiteralString, parameters: Parameters = ()) -> DictRow | None:
        """Run one statement and return its first row, None where there is none."""
        async with self.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchone()

    async def execute(self, query: LiteralString, parameters: Parameters = ()) -> int:
        """Run one statement and return how many rows it touched."""
        async with self.connection() as connection:
            return (await connection.execute(query, parameters)).rowcount

    async def drop_broken_connections(self) -> None:
        """Replace every pooled connection that a restart of the server has cut."""
        with translated_errors():
            await self._lines.end_free()
            await self._pool.check()

    async def close(self) -> None:
        """Give back the connections that are kept for prepared statements."""
        await self._lines.end_free()


@asynccontextmanager
async def open_database(url: str, *, pool_max: int = POOL_MAX) -> AsyncIterator[Database]:
    """Yield the database behind `url`, checked, with a pool of at most `pool_max` connections.

    Raises DatabaseFailed where it does not answer, InvalidConfiguration where it must not be used:
    older than PostgreSQL 15, synchronous_commit off, or another schema than this checkout's.
    """
    conninfo = libpq_url(url)
    await _refuse_unfit(conninfo)
    pool = AsyncConnectionPool(
        conninfo,
        connection_class=AsyncConnection[DictRow],
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "switchyard",
        },
        min_size=1,
        max_size=pool_max,
        timeout=POOL_TIMEOUT_S,
        configure=_prepare_session,
        open=False,
    )
    async with pool:
        database = Database(pool)
        try:
            yield database
        finally:
            await database.close()


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn psycopg's errors into DatabaseFailed, in one line and without secrets."""
    try:
        yield
    except (psycopg.Error, PoolClosed) as error:
        raise DatabaseFailed(f"the database failed: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = redacted(str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


async def _prepare_session(connection: AsyncConnection[DictRow]) -> None:
    await connection.execute(SESSION_SETTINGS)


async def _refuse_unfit(conninfo: str) -> None:
    with translated_errors():
        async with await AsyncConnection.connect(
            conninfo, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        ) as connection:
            if connection.info.server_version < SERVER_VERSION_MIN:
                raise InvalidConfiguration("the database must be PostgreSQL 15 or newer")
            await _refuse_asynchronous_commit(connection)
            await _refuse_other_schema(connection)


async def _refuse_asynchronous_commit(connection: AsyncConnection[Any]) -> None:
    row = await (await connection.execute("SHOW synchronous_commit")).fetchone()
    if row is None or row[0] == "off":
        raise InvalidConfiguration(
            "the database has synchronous_commit off: a crash would lose money that was spent;"
            " switch it on for this server, database and role"
        )


async def _refuse_other_schema(connection: AsyncConnection[Any]) -> None:
    wanted = expected_schema()
    tables = await (await connection.execute("SELECT to_regclass('alembic_version')")).fetchone()
    if tables is not None and tables[0] is not None:
        row = await (
            await connection.execute(
                "SELECT (SELECT max(version_num) FROM alembic_version),"
                " (SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace"
                " WHERE nspname = 'ledger')"
            )
        ).fetchone()
        if row == (wanted.revision, wanted.functions):
            return
    raise SchemaOutdated(
        "the database's schema is not the one this version needs: run `switchyard db upgrade`"
    )
