"""What the ledger reports about itself: sweeps, unknown attempts, reconciliation, the audit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from models.money import plain


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Expired leases: `released` were never sent, `unknown` were and keep their holds."""

    released: int
    unknown: int


@dataclass(frozen=True, slots=True)
class UnknownAttempt:
    """An attempt whose bill is unknown; `give_up` once it has been so for 15 minutes."""

    selection_id: UUID
    generation_id: str | None
    worst_case_usd: Decimal
    give_up: bool


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """How unknown attempts were resolved; `waiting` are asked about again later."""

    by_generation: int = 0
    by_key: int = 0
    assumed: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class KeyPosition:
    """Where the ledger stands since the upstream key was last checked at a quiet moment.

    `usage_usd` is what the key had spent then, None before the first checkpoint. `settled_usd` is
    what the ledger booked since. `open_rows` may still be billed; `assumed_rows` were booked at
    their hold, without anybody stating the cost. `quiet_s` is the time since the last call.
    """

    usage_usd: Decimal | None
    settled_usd: Decimal
    open_rows: int
    assumed_rows: int
    quiet_s: Decimal | None


@dataclass(frozen=True, slots=True)
class AuditDifference:
    """A balance that its entries and adjustments do not explain."""

    budget_id: UUID
    budget: str | None  # None: entries name a balance that does not exist
    period_start: datetime | None
    stated_spent_usd: Decimal | None
    true_spent_usd: Decimal
    stated_held_usd: Decimal | None
    true_held_usd: Decimal

    def as_row(self) -> tuple[object, ...]:
        """Return (budget, spent, by entries, held, by entries), for a table."""
        return (
            self.budget or f"no such balance: {self.budget_id}",
            self.stated_spent_usd,
            self.true_spent_usd,
            self.stated_held_usd,
            self.true_held_usd,
        )


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Every balance recomputed from the entries; clean when there is no difference."""

    entries: int
    balances: int
    spent_usd: Decimal
    held_usd: Decimal
    assumed_rows: int
    overrun_rows: int
    differences: tuple[AuditDifference, ...]

    @property
    def is_clean(self) -> bool:
        """Whether every balance is explained to the last digit."""
        return not self.differences

    def as_dict(self) -> dict[str, object]:
        """Return the report as a JSON document; money as decimal strings."""
        return {
            "is_clean": self.is_clean,
            "entries": self.entries,
            "balances": self.balances,
            "spent_usd": plain(self.spent_usd),
            "held_usd": plain(self.held_usd),
            "assumed_rows": self.assumed_rows,
            "overrun_rows": self.overrun_rows,
            "differences": [_as_json(difference) for difference in self.differences],
        }


def _as_json(difference: AuditDifference) -> dict[str, str | None]:
    values = asdict(difference)
    return {
        name: plain(value) if isinstance(value, Decimal) else None if value is None else str(value)
        for name, value in values.items()
    }
