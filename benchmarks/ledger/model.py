"""What the model of the ledger expects: balances and entries, and the real thing beside them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

import psycopg
from anyio.from_thread import BlockingPortal, start_blocking_portal

from models.attempt import AttemptState, Hold
from models.budget import BudgetDefinition
from tasks.adapters.batches.ledger import GatheringLedger
from tasks.adapters.database import Database, open_database
from tasks.adapters.ledger import Ledger

T = TypeVar("T")
ALERT = Decimal("0.5")
PERIODS = {"global": "daily", "worker": "daily", "policy": "monthly"}
MODES = {"global": "hard", "worker": "hard", "policy": "elastic"}


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


class Expected:
    """The ledger in plain Python: limits, balances and entries."""

    def __init__(self) -> None:
        self.limits: dict[str, Decimal] = {}
        self.live: dict[tuple[str, str], Balance] = {}
        self.caps: dict[uuid.UUID, Balance] = {}
        self.entries: list[Entry] = []
        self.attempts: dict[uuid.UUID, int] = {}

    def change_limit(self, budget_type: str, amount: Decimal | None) -> None:
        """A new amount holds in the open period; None: the limit is inactive."""
        if amount is None:
            self.limits.pop(budget_type, None)
            return
        self.limits[budget_type] = amount
        for (live_type, _), balance in self.live.items():
            if live_type == budget_type:
                balance.limit = amount
                balance.is_alerted &= balance.spent >= ALERT * amount

    def parts(self, hold: Hold) -> list[tuple[Balance, Decimal]]:
        """Return the balances that a hold touches, and what it takes of each."""
        keys = {"global": "*", "worker": hold.worker_id or "", "policy": hold.policy}
        parts = []
        for budget_type, limit in self.limits.items():
            balance = self.live.setdefault((budget_type, keys[budget_type]), Balance(limit))
            is_hard = MODES[budget_type] == "hard"
            parts.append((balance, hold.worst_case_usd if is_hard else hold.elastic_usd))
        if hold.task_cap_usd is not None:
            cap = self.caps.setdefault(hold.decision_id, Balance(hold.task_cap_usd))
            parts.append((cap, hold.worst_case_usd))
        return parts

    def admit(
        self,
        hold: Hold,
        selection_id: uuid.UUID,
        parts: list[tuple[Balance, Decimal]],
        is_sent: bool,
    ) -> Entry:
        """Hold the money, and return the entry."""
        for balance, part in parts:
            balance.held += part
        self.attempts[hold.decision_id] = hold.attempt_no
        cap = self.caps.get(hold.decision_id)
        state = AttemptState.SENT if is_sent else AttemptState.RESERVED
        self.entries.append(Entry(hold, selection_id, state, parts, cap))
        return self.entries[-1]

    def book(self, entry: Entry, cost: Decimal) -> int:
        """Book a bill, and return how many alerts it gives."""
        is_late = entry.state is AttemptState.RELEASED
        alerts = 0
        for balance, part in entry.parts:
            balance.held -= Decimal(0) if is_late else part
            balance.spent += cost
            if cost > 0 and not balance.is_alerted and balance.spent >= ALERT * balance.limit:
                balance.is_alerted = balance is not entry.cap
                alerts += balance.is_alerted
        entry.state, entry.cost = AttemptState.SETTLED, cost
        return alerts

    def free(self, entry: Entry) -> None:
        """Give a hold back."""
        for balance, part in entry.parts:
            balance.held -= part
        entry.state, entry.cost = AttemptState.RELEASED, Decimal(0)

    def turn_the_day(self) -> None:
        """Daily balances are history now."""
        self.live = {key: part for key, part in self.live.items() if PERIODS[key[0]] != "daily"}


class Connection:
    """The ledger on an event loop of its own, and a plain connection to bend time with."""

    def __init__(self, url: str) -> None:
        self._stack = ExitStack()
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        self.database: Database = self._stack.enter_context(
            self._portal.wrap_async_context_manager(open_database(url, pool_max=2))
        )
        self.ledger = Ledger(self.database)
        self.sender = GatheringLedger(self.database, sent_lease_s=60, crowd=lambda: 1)
        self.plain = self._stack.enter_context(psycopg.connect(url, autocommit=True))

    def run(self, call: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
        """Run one coroutine function to its end."""

        async def run() -> T:
            return await call(*args, **options)

        return self._portal.call(run)

    def forget_everything(self) -> None:
        """Empty the ledger."""
        self.plain.execute(
            "DELETE FROM model_selections; DELETE FROM budget_adjustments;"
            " DELETE FROM cost_budgets; DELETE FROM budget_definitions"
        )

    def expire_lease(self, selection_id: uuid.UUID) -> None:
        """Let a day pass for one lease."""
        self.plain.execute(
            "UPDATE model_selections SET lease_expires_at = lease_expires_at - interval '1 day'"
            " WHERE id = %s",
            (selection_id,),
        )

    def age_daily_budgets(self) -> None:
        """Let a day pass for every daily balance."""
        for days in (1000, -999):  # by way of the far past, where no row is in the way
            self.plain.execute(
                "UPDATE cost_budgets SET period_start = period_start - %(step)s,"
                " period_end = period_end - %(step)s WHERE budget_period = 'daily'",
                {"step": timedelta(days=days)},
            )

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


def new_limit(budget_type: str, amount: Decimal, is_active: bool) -> BudgetDefinition:
    """Return the definition of one limit, as the model knows it."""
    return BudgetDefinition.model_validate(
        {
            "budget_type": budget_type,
            "budget_period": PERIODS[budget_type],
            "budget_amount": amount,
            "mode": MODES[budget_type],
            "alert_threshold": ALERT,
            "is_active": is_active,
        }
    )
