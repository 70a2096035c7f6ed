"""The budgets run again, in the order of time, with another spending.

A budget that the recorded decision looked at is taken as it was then, plus what the changed policy
spent more, or less, in its period until that moment. One that only the changed policy is paid from
starts the span empty. What was held by others at the time stays held. Periods turn when the record
(or, for the latter, the ledger's own rule) says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from models.budget import budget_name
from models.money import ZERO_USD
from models.snapshot import BudgetRoom

REQUEST_LIMIT = "request limit"  # a cap of one decision: nothing carries over


class Limit(NamedTuple):
    """An active budget definition, with the bounds of its periods in the span."""

    budget_type: str
    scope_key: str
    budget_period: str
    amount_usd: Decimal
    mode: Literal["hard", "elastic"]
    alert_ratio: Decimal
    periods: tuple[tuple[datetime, datetime | None], ...]

    def period_end_at(self, moment: datetime) -> datetime | None:
        """Return when the period of this moment ends."""
        for starts, ends in self.periods:
            if starts <= moment and (ends is None or moment < ends):
                return ends
        return None


class Spending(NamedTuple):
    """What one decision spends under a policy, by model."""

    policy: str
    by_model_usd: Mapping[str, Decimal]

    def in_room(self, room: BudgetRoom) -> Decimal:
        """Return the part of it that this budget pays."""
        if room.budget_type == "model":
            return self.by_model_usd.get(room.scope_key, ZERO_USD)
        if room.budget_type == "policy" and room.scope_key not in ("*", self.policy):
            return ZERO_USD
        return sum(self.by_model_usd.values(), ZERO_USD)


Key = tuple[str, datetime | None]  # a budget's name says type, scope and period


@dataclass(slots=True)
class Course:
    """One budget's period: what it had spent after its last decision, recorded and simulated."""

    room: BudgetRoom
    recorded_usd: Decimal
    simulated_usd: Decimal
    refused: int = 0
    is_recorded: bool = True


@dataclass(slots=True)
class Balances:
    """The balances of all budgets while the record is run again."""

    limits: Sequence[Limit]
    courses: dict[Key, Course] = field(default_factory=dict)
    _more: dict[Key, Decimal] = field(default_factory=dict)
    _alone: dict[Key, Decimal] = field(default_factory=dict)

    def as_spent(self, rooms: Iterable[BudgetRoom]) -> tuple[BudgetRoom, ...]:
        """Return recorded budgets with the spending of the changed policy."""
        return tuple(self._as_spent(room) for room in rooms)

    def _as_spent(self, room: BudgetRoom) -> BudgetRoom:
        more = self._more.get((room.name, room.period_end))
        if not more or room.name == REQUEST_LIMIT:
            return room
        return replace(room, spent_usd=max(ZERO_USD, room.spent_usd + more))

    def added(
        self, at: datetime, budget_type: str, scope_keys: Iterable[str]
    ) -> tuple[BudgetRoom, ...]:
        """Return the budgets of scopes that the recorded decision was not paid from."""
        rooms = (self._rooms(at, budget_type, scope_key) for scope_key in scope_keys)
        return tuple(room for found in rooms for room in found)

    def _rooms(self, at: datetime, budget_type: str, scope_key: str) -> list[BudgetRoom]:
        chosen: dict[str, Limit] = {}
        for limit in self.limits:
            if limit.budget_type == budget_type and limit.scope_key in ("*", scope_key):
                known = chosen.get(limit.budget_period)
                if known is None or known.scope_key == "*":
                    chosen[limit.budget_period] = limit
        return [self._room(at, limit, scope_key) for limit in chosen.values()]

    def _room(self, at: datetime, limit: Limit, scope_key: str) -> BudgetRoom:
        name = budget_name(limit.budget_type, scope_key, limit.budget_period)
        ends = limit.period_end_at(at)
        return BudgetRoom(
            name=name,
            budget_type=limit.budget_type,
            scope_key=scope_key,
            amount_usd=limit.amount_usd,
            spent_usd=self._alone.get((name, ends), ZERO_USD),
            reserved_usd=ZERO_USD,
            mode=limit.mode,
            alert_ratio=limit.alert_ratio,
            period_end=ends,
        )

    def book(
        self,
        recorded_rooms: Iterable[BudgetRoom],
        added_rooms: Iterable[BudgetRoom],
        was: Spending,
        would_be: Spending,
        *,
        refused: bool,
    ) -> None:
        """Book a decision in the budgets that it is paid from, as it was and as it would be."""
        for room in recorded_rooms:
            if room.name == REQUEST_LIMIT:
                continue
            key = (room.name, room.period_end)
            before = self._more.get(key, ZERO_USD)
            recorded, simulated = was.in_room(room), would_be.in_room(room)
            self._more[key] = before + simulated - recorded
            course = self._course(key, room, is_recorded=True)
            course.recorded_usd = room.spent_usd + recorded
            course.simulated_usd = max(ZERO_USD, room.spent_usd + before) + simulated
            course.refused += refused
        for room in added_rooms:
            key = (room.name, room.period_end)
            self._alone[key] = self._alone.get(key, ZERO_USD) + would_be.in_room(room)
            course = self._course(key, room, is_recorded=False)
            if not course.is_recorded:
                course.simulated_usd = self._alone[key]
            course.refused += refused

    def _course(self, key: Key, room: BudgetRoom, *, is_recorded: bool) -> Course:
        known = self.courses.get(key)
        if known is None:
            known = Course(room, ZERO_USD, ZERO_USD, 0, is_recorded)
            self.courses[key] = known
        known.is_recorded = known.is_recorded or is_recorded
        return known
