"""Statements that a connection prepares once and then runs with the least work around libpq.

A cursor of psycopg polls its socket, times its wait and looks its query up at every statement: more
than half of what a short statement costs the event loop. Values are adapted by psycopg here too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

Parameters = Sequence[Any] | Mapping[str, Any]  # Any: whatever psycopg adapts
Prepared = tuple[bytes, Sequence[Any]]  # the statement's name, and its parameters' keys
NUMBERS = count()  # a connection may be a line again, and still have what it prepared
FINE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class Line:
    """A connection in autocommit mode that runs one prepared statement after the other."""

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        self.connection, self._libpq = connection, connection.pgconn
        self._socket = self._libpq.socket
        self._loop = asyncio.get_running_loop()
        self._adapter = Transformer(connection)
        self._prepared: dict[LiteralString, Prepared] = {}
        self._result: PGresult | None = None
        self._answer: asyncio.Future[PGresult] | None = None
        self._is_sending = False  # and waits for the socket to take the rest
        self._is_listening = True
        self._loop.add_reader(self._socket, self._read)

    @property
    def is_idle(self) -> bool:
        """Say whether it takes a statement: it is neither lost nor busy with one given up."""
        return self._libpq.transaction_status == TransactionStatus.IDLE

    async def fetch_all(self, query: LiteralString, parameters: Parameters) -> list[DictRow]:
        """Run one statement and return its rows; raises psycopg's errors."""
        name, keys = self._prepared.get(query) or await self._prepare(query, parameters)
        values: Any = parameters  # Any: a key is a name or a place, as the parameters have it
        given = [values[key] for key in keys]
        dumped = self._adapter.dump_sequence(given, [PyFormat.TEXT] * len(given))
        self._libpq.send_query_prepared(name, dumped)
        return self._rows(await self._answered())

    async def end(self) -> None:
        """Leave the connection, closed where a statement still runs: the server ends that one."""
        self._stop_listening()
        if not self.is_idle:
            await self.connection.close()

    async def _prepare(self, query: LiteralString, parameters: Parameters) -> Prepared:
        name = f"line_{next(NUMBERS)}".encode()
        text, keys = numbered(query, parameters)
        self._libpq.send_prepare(name, text.encode())
        await self._answered()
        self._prepared[query] = name, keys
        return name, keys

    async def _answered(self) -> PGresult:
        self._answer = self._loop.create_future()
        self._flush()
        result = await self._answer
        if result.status not in FINE:
            raise error_from_result(result)
        return result

    def _flush(self) -> None:
        """Send what is still to be sent; a long statement waits for the server to read."""
        try:
            is_sent = self._libpq.flush() == 0
        except psycopg.Error as error:
            self._lose(error)
        else:
            if is_sent == self._is_sending:
                self._is_sending = not is_sent
                if is_sent:
                    self._loop.remove_writer(self._socket)
                else:
                    self._loop.add_writer(self._socket, self._flush)

    def _read(self) -> None:
        try:
            self._libpq.consume_input()
            while not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    break
                self._result = result
            else:
                return
        except psycopg.Error as error:
            self._lose(error)
        else:
            self._end()

    def _end(self) -> None:
        result, self._result = self._result, None
        answer, self._answer = self._answer, None
        if answer is not None and result is not None and not answer.done():
            answer.set_result(result)

    def _lose(self, error: psycopg.Error) -> None:
        """End with what the server said last, which says more than that it is gone."""
        self._stop_listening()
        if self._result is not None:
            self._end()
        elif self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def _stop_listening(self) -> None:
        """Stop once: a lost connection's socket is closed, and its number may be another's."""
        if self._is_listening:
            self._is_listening = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    def _rows(self, result: PGresult) -> list[DictRow]:
        names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
        self._adapter.set_pgresult(result)
        rows = self._adapter.load_rows(0, result.ntuples, tuple)
        return [dict(zip(names, row, strict=True)) for row in rows]


class Lines:
    """The lines of a pool, at most half of its connections; the last one used is used first."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[DictRow]]) -> None:
        self._pool, self._max = pool, pool.max_size // 2
        self._free: list[Line] = []
        self._count = 0

    async def take(self) -> Line | None:
        """Return a line, None where all are taken; to be given back whatever happens."""
        while self._free:
            line = self._free.pop()
            if line.is_idle:
                return line
            await self._end(line)
        if self._count >= self._max:
            return None
        self._count += 1
        connection = None
        try:
            connection = await self._pool.getconn()
        finally:
            if connection is None:
                self._count -= 1
        return Line(connection)

    async def give_back(self, line: Line) -> None:
        """Keep a line for the next statement, or end it where it is lost or left busy."""
        if line.is_idle:
            self._free.append(line)
        else:
            await self._end(line)

    async def end_free(self) -> None:
        """Give the pool back every line that nobody uses now."""
        while self._free:
            await self._end(self._free.pop())

    async def _end(self, line: Line) -> None:
        self._count -= 1
        await line.end()
        await self._pool.putconn(line.connection)


def numbered(query: LiteralString, parameters: Parameters) -> tuple[str, Sequence[Any]]:
    """Return the query with $1, $2 and so on, and of each the key of its parameter."""
    if isinstance(parameters, Mapping):
        numbers = _Numbers()
        return query % numbers, tuple(numbers)
    keys = range(len(parameters))
    return query % tuple(f"${key + 1}" for key in keys), keys


class _Numbers(dict[str, str]):
    """Names that are numbered as they are asked for."""

    def __missing__(self, name: str) -> str:
        self[name] = f"${len(self) + 1}"
        return self[name]
