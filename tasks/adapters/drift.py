"""Compares the ledger with the provider's meter: drift is told and corrected, never silent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from models.alert import Alert, AlertKind
from models.completion import KeySpend
from models.drift import Drift, compare
from models.money import plain
from tasks.adapters.alerts import raise_alert
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.drift import ledger_spans, one_comparer


async def compare_spend(opened: Runtime) -> list[Drift]:
    """Compare day, week and month; book what is beyond the tolerance into the global budgets.

    A second comparison finds the corrections and books nothing more. Raises an UpstreamFailed
    where the upstream has no meter.
    """
    before = await ledger_spans(opened.database)
    meter = await opened.upstream.key_spend()
    async with one_comparer(opened.database):
        after = await ledger_spans(opened.database)
        drifts = [
            compare(before.get(period, span), span, _metered(meter)[period])
            for period, span in after.items()
        ]
        return [await _corrected(opened, drift) if drift.is_alarm else drift for drift in drifts]


def _metered(meter: KeySpend) -> dict[str, Decimal]:
    return {
        "daily": meter.usage_daily_usd,
        "weekly": meter.usage_weekly_usd,
        "monthly": meter.usage_monthly_usd,
    }


async def _corrected(opened: Runtime, drift: Drift) -> Drift:
    await raise_alert(opened, _alert(drift))
    if drift.budget_id is None:
        return replace(drift, note="no global budget has this period: nothing to correct")
    try:
        await opened.ledger.adjust(drift.budget_id, drift.drift_usd, drift.reason())
    except ValueError as refused:
        return replace(drift, note=str(refused))
    return replace(drift, booked=True)


def _alert(drift: Drift) -> Alert:
    day = f"{drift.starts:%Y-%m-%d}"
    sign = "+" if drift.drift_usd > 0 else "-"
    return Alert(
        kind=AlertKind.SPEND_DRIFT,
        dedupe_key=f"drift:{drift.period}:{day}:{plain(drift.drift_usd)}:{plain(drift.meter_usd)}",
        subject=f"switchyard.spend.{drift.period}",
        message=(
            f"the provider's meter and the ledger differ by {sign}${plain(abs(drift.drift_usd))}"
            f" for the {drift.period} period from {day}"
        ),
        details={
            "period": drift.period,
            "period_start": drift.starts.isoformat(),
            "meter_usd": plain(drift.meter_usd),
            "ledger_low_usd": plain(drift.low_usd),
            "ledger_high_usd": plain(drift.high_usd),
            "drift_usd": plain(drift.drift_usd),
        },
    )
