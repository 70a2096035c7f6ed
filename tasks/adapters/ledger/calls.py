"""How the ledger speaks to the database: one round trip a call, retried where that is safe.

Every call is safe to repeat: it is keyed by an idempotency key, or moves a row on once.
"""

from __future__ import annotations

from typing import LiteralString

import psycopg
from psycopg.errors import (
    AdminShutdown,
    CannotConnectNow,
    CrashShutdown,
    DeadlockDetected,
    LockNotAvailable,
    ReadOnlySqlTransaction,
)
from psycopg.rows import DictRow
from psycopg_pool import PoolTimeout
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from models.errors import DatabaseFailed
from tasks.adapters.database import Database
from tasks.adapters.prepared import Parameters

TRIES_MAX = 3


class Calls:
    """Statements of the ledger; `patience_s` is how long a bill is offered to a lost database."""

    def __init__(self, database: Database, *, patience_s: float) -> None:
        self.database = database
        self._patience_s = patience_s

    async def one(self, query: LiteralString, parameters: Parameters = ()) -> DictRow:
        """Return the only row; retried up to three times on locks and cut connections."""
        return (await self.all(query, parameters))[0]

    async def all(self, query: LiteralString, parameters: Parameters = ()) -> list[DictRow]:
        """Return all rows; retried as `one`."""
        try:
            return await self.database.fetch_prepared(query, parameters)
        except DatabaseFailed as error:  # tenacity only from here: it costs 0.1 ms a call
            if not _is_passing(error):
                raise
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_attempt(TRIES_MAX - 1),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            before=self._replace_cut_connections,
            reraise=True,
        ):
            with attempt:
                return await self.database.fetch_prepared(query, parameters)
        raise AssertionError("tenacity neither returned nor raised")

    async def stubborn(self, query: LiteralString, parameters: Parameters = ()) -> DictRow:
        """Return the only row, asking again while the database is away: for bills."""
        try:
            return await self.one(query, parameters)
        except DatabaseFailed as error:
            if not _may_come_back(error):
                raise
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_may_come_back),
            stop=stop_after_delay(self._patience_s),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            before=self._replace_cut_connections,
            reraise=True,
        ):
            with attempt:
                return await self.one(query, parameters)
        raise AssertionError("tenacity neither returned nor raised")

    async def _replace_cut_connections(self, _: RetryCallState) -> None:
        await self.database.drop_broken_connections()


def _is_cut(cause: BaseException | None) -> bool:
    if isinstance(cause, AdminShutdown | CrashShutdown | CannotConnectNow):
        return True
    cut = isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None
    return cut and not isinstance(cause, PoolTimeout)


def _is_passing(error: BaseException) -> bool:
    if not isinstance(error, DatabaseFailed):
        return False
    return isinstance(error.__cause__, LockNotAvailable | DeadlockDetected) or _is_cut(
        error.__cause__
    )


def _may_come_back(error: BaseException) -> bool:
    return isinstance(error, DatabaseFailed) and isinstance(
        error.__cause__, psycopg.OperationalError | ReadOnlySqlTransaction
    )
