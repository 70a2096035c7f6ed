"""Errors of the caller, the budgets and the world; the tree is in models/errors."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar


class SwitchyardError(Exception):
    """Root of every error that Switchyard raises on purpose."""

    exit_code: ClassVar[int] = 1


class BadInput(SwitchyardError):
    """The caller must change something; nothing was sent and nothing spent."""

    exit_code = 2


class InvalidRequest(BadInput):
    """The request document is wrong."""


class InvalidConfiguration(BadInput):
    """An option or environment variable is wrong."""


class SchemaOutdated(InvalidConfiguration):
    """The database has no tables yet, or those of another version: upgrade it."""


class NotFound(BadInput):
    """The named policy, decision or budget does not exist."""


class InvalidPolicy(BadInput):
    """A policy document is wrong; `problems` names every problem at once."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "policy refused: " + "; ".join(self.problems)


class IdempotencyConflict(BadInput):
    """The idempotency key was already used for a different request."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"idempotency key {self.key!r} was already used for a different request"


class Refused(SwitchyardError):
    """A budget, or the lack of one, forbids the call."""

    exit_code = 3


class BudgetExceeded(Refused):
    """The hold does not fit in what is left; `blocking` names the budgets that said no."""

    def __init__(
        self, needed_usd: Decimal, remaining_usd: Decimal, blocking: tuple[str, ...]
    ) -> None:
        super().__init__(needed_usd, remaining_usd, blocking)  # raw values, so that it pickles
        self.needed_usd, self.remaining_usd, self.blocking = needed_usd, remaining_usd, blocking

    def __str__(self) -> str:
        return (
            f"needs ${self.needed_usd:f}, only ${self.remaining_usd:f} left"
            f" (blocked by {', '.join(self.blocking)})"
        )


class NoBudget(Refused):
    """No active budget definition covers this paid call."""


class PriceUnknown(Refused):
    """The model has no known price, or the price list is stale."""


class NoCandidate(Refused):
    """No model of the policy can take the request; `reasons` has one line a model."""

    def __init__(self, reasons: tuple[str, ...], *, money: bool = False) -> None:
        super().__init__(reasons)
        self.reasons = reasons
        self.money = money

    def __reduce__(self) -> tuple[object, ...]:
        return _no_candidate, (self.reasons, self.money)

    def __str__(self) -> str:
        return "no model can take this request: " + "; ".join(self.reasons)


def _no_candidate(reasons: tuple[str, ...], money: bool) -> NoCandidate:
    return NoCandidate(reasons, money=money)


class Waiting(SwitchyardError):
    """The request is parked or awaits a person's approval."""

    exit_code = 4


class WorldFailed(SwitchyardError):
    """Something outside does not work: upstream, port, disk, key, database."""


class DatabaseFailed(WorldFailed):
    """The ledger's database did not answer, or refused: no paid call is made."""


class PostgresFailed(WorldFailed):
    """The embedded PostgreSQL could not be started or stopped."""


class PrefectFailed(WorldFailed):
    """The Prefect server could not be started or reached."""


class PortTaken(WorldFailed):
    """The port is in use by another process."""


class DiskFull(WorldFailed):
    """No space is left on the device."""
