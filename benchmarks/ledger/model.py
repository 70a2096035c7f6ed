"""What the model of the ledger expects: balances and entries, and the real thing beside them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import psycopg
from anyio.from_thread import BlockingPortal, start_blocking_portal

from models.attempt import AttemptState, Hold
from tasks.adapters.database import Database, open_database
from tasks.adapters.ledger import Ledger

T = TypeVar("T")


@dataclass
class Balance:
    """What the model expects of one budget in one period."""

    limit: Decimal
    spent: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    is_alerted: bool = False


@dataclass
class Entry:
    """What the model expects of one attempt."""

    hold: Hold
    selection_id: uuid.UUID
    state: AttemptState
    parts: list[tuple[Balance, Decimal]]
    cap: Balance | None
    is_expired: bool = False
    cost: Decimal | None = None


class Connection:
    """The ledger on an event loop of its own, and a plain connection to bend time with."""

    def __init__(self, url: str) -> None:
        self._stack = ExitStack()
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        self.database: Database = self._stack.enter_context(
            self._portal.wrap_async_context_manager(open_database(url, pool_max=2))
        )
        self.ledger = Ledger(self.database)
        self.plain = self._stack.enter_context(psycopg.connect(url, autocommit=True))

    def run(self, call: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        """Run one coroutine function to its end."""

        async def run() -> T:
            return await call(*args, **options)

        return self._portal.call(run)

    def close(self) -> None:
        """Close the pool, the loop and the connection."""
        self._stack.close()


def new_hold(
    decision_id: uuid.UUID,
    attempt_no: int,
    worker: str,
    worst: Decimal,
    elastic: Decimal,
    cap: Decimal | None,
) -> Hold:
    """Return the hold of one attempt, by its decision and number."""
    return Hold(
        key=f"{decision_id}/{attempt_no}",
        request_hash="h",
        decision_id=decision_id,
        attempt_no=attempt_no,
        token=uuid.uuid4(),
        owner="model",
        model_id="m",
        provider="p",
        policy="normal",
        worst_case_usd=worst,
        elastic_usd=elastic,
        task_cap_usd=cap,
        worker_id=worker,
    )
