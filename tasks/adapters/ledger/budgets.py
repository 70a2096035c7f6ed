"""Limits and balances: what is allowed, spent, held and left, and the turn of periods."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import psycopg
from psycopg.errors import InvalidParameterValue

from models.budget import BudgetDefinition, BudgetState, PastPeriod
from models.errors import DatabaseFailed, InvalidConfiguration, NotFound
from tasks.adapters.ledger.calls import Calls
from tasks.adapters.ledger.rows import budget_state, past_period

HOUR_S = 3600.0
OPEN_AHEAD_S = 25 * HOUR_S  # the daily flow opens what turns before its next run
FINAL_AFTER_S = 48 * HOUR_S


class Budgets:
    """What the ledger knows about limits; admission never waits for anything here."""

    _calls: Calls

    async def head_room(
        self,
        *,
        policy: str | None,
        worker_id: str | None = None,
        model_ids: Sequence[str] = (),
        task_id: UUID | None = None,
        decision_id: UUID | None = None,
    ) -> list[BudgetState]:
        """Return every budget that covers such a call, with what is left; nothing is written.

        Empty means that no definition covers it. With `decision_id` what is left of that request's
        own limit is among them.
        """
        rows = await self._calls.all(
            "SELECT * FROM ledger.head_room(%s, %s, %s::text[], %s, %s::uuid[])",
            (policy, worker_id, list(model_ids), task_id, [decision_id]),
        )
        return [budget_state(row) for row in rows]

    async def elastic_ratio(self, model_id: str) -> Decimal | None:
        """Return the 95 % quantile of bill over worst case of the last 200 bills; None below 20."""
        row = await self._calls.one("SELECT ledger.elastic_ratio(%s) AS ratio", (model_id,))
        return None if row["ratio"] is None else Decimal(row["ratio"])

    async def budgets(self) -> list[BudgetState]:
        """Return every limit with its open balances, sorted by type, scope and period."""
        rows = await self._calls.all("SELECT * FROM ledger.budgets()")
        return [budget_state(row) for row in rows]

    async def set_budget(self, definition: BudgetDefinition) -> BudgetState:
        """State a limit; it holds at once, in the open period too. Returns the budget."""
        values = definition.model_dump(mode="python")
        try:
            await self._calls.one(
                "SELECT ledger.set_budget(%(budget_type)s, %(scope_key)s, %(budget_period)s,"
                " %(budget_amount)s, %(time_zone)s, %(alert_threshold)s, %(mode)s, %(is_active)s)",
                {**values, **{name: str(values[name]) for name in _ENUMS}},
            )
        except DatabaseFailed as error:
            if isinstance(error.__cause__, InvalidParameterValue):
                zone = definition.time_zone
                raise InvalidConfiguration(f"the database has no time zone {zone!r}") from error
            raise
        scope = (definition.budget_type, definition.scope_key, definition.budget_period)
        for state in await self.budgets():
            if (state.budget_type, state.scope_key, state.budget_period) == scope:
                return state
        raise DatabaseFailed(f"the budget {scope} was stated and is gone")

    async def adjust(self, budget_id: UUID, amount_usd: Decimal, reason: str) -> None:
        """Add a correction (may be negative) to a balance, as a row of its own.

        Raises NotFound for an unknown budget, ValueError where the balance would fall below zero.
        """
        try:
            row = await self._calls.one(
                "SELECT ledger.adjust(%s, %s, %s) AS found", (budget_id, amount_usd, reason)
            )
        except DatabaseFailed as error:
            if isinstance(error.__cause__, psycopg.errors.CheckViolation):
                raise ValueError(f"{amount_usd} would take the balance below zero") from error
            raise
        if not row["found"]:
            raise NotFound(f"no budget {budget_id}")

    async def open_next_periods(self, within_s: float = OPEN_AHEAD_S) -> int:
        """Open the period after each one that ends within `within_s`; returns how many."""
        row = await self._calls.one(
            "SELECT ledger.open_next_periods(make_interval(secs => %s)) AS opened", (within_s,)
        )
        return int(row["opened"])

    async def close_past_periods(self, final_after_s: float = FINAL_AFTER_S) -> list[PastPeriod]:
        """Report each ended period until it is final, and close those that are."""
        rows = await self._calls.all(
            "SELECT * FROM ledger.close_past_periods(make_interval(secs => %s))", (final_after_s,)
        )
        return [past_period(row) for row in rows]


_ENUMS = ("budget_type", "budget_period", "mode")
