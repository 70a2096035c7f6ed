"""The ledger against the provider's own meter: how far apart, and whether that is an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from models.money import ZERO_USD, plain

TOLERANCE_USD, TOLERANCE_SHARE = Decimal("0.01"), Decimal("0.005")
REASON = "reconcile-spend"


@dataclass(frozen=True, slots=True)
class LedgerSpan:
    """What the ledger knows of one UTC day, week or month so far.

    `low_usd` was certainly billed in it, `high_usd` perhaps: bills at its border, and calls that
    are still open, at their holds. `adjusted_usd` is what earlier comparisons have corrected;
    `budget_id` the global budget of the same span, if there is one.
    """

    period: str
    starts: datetime
    low_usd: Decimal
    high_usd: Decimal
    budget_id: UUID | None
    adjusted_usd: Decimal


@dataclass(frozen=True, slots=True)
class Drift:
    """One span compared: `drift_usd` is what the meter shows beyond what the ledger can explain.

    `booked` says whether the correction is in the budget's balance.
    """

    period: str
    starts: datetime
    meter_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    drift_usd: Decimal
    tolerance_usd: Decimal
    budget_id: UUID | None
    booked: bool = False
    note: str = ""

    @property
    def is_alarm(self) -> bool:
        """Whether a person must hear of it."""
        return abs(self.drift_usd) > self.tolerance_usd

    def reason(self) -> str:
        """Return the reason that the correction carries."""
        return (
            f"{REASON}: the provider's meter shows ${plain(self.meter_usd)} for the {self.period}"
            f" period from {self.starts:%Y-%m-%d}, the ledger ${plain(self.low_usd)} to"
            f" ${plain(self.high_usd)}"
        )


def compare(before: LedgerSpan, after: LedgerSpan, meter_usd: Decimal) -> Drift:
    """Return the drift of a meter that was read between two looks at the ledger.

    A meter at $1.02, when the ledger had $1.00 before and $1.01 after, has drifted by $0.01.
    """
    low = before.low_usd + after.adjusted_usd
    high = max(low, after.high_usd + after.adjusted_usd)
    drift = ZERO_USD
    if meter_usd > high:
        drift = meter_usd - high
    elif meter_usd < low:
        drift = meter_usd - low
    return Drift(
        period=after.period,
        starts=after.starts,
        meter_usd=meter_usd,
        low_usd=low,
        high_usd=high,
        drift_usd=drift,
        tolerance_usd=max(TOLERANCE_USD, TOLERANCE_SHARE * max(meter_usd, high)),
        budget_id=after.budget_id,
    )
