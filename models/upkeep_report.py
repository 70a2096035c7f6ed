"""What the scheduled flows report, as Markdown that a person wants to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from models.budget import PastPeriod
from models.chart import Bar
from models.drift import Drift
from models.explanation import escaped, table, usd
from models.money import ZERO_USD, plain

ROWS_MAX = 100


def periods_markdown(opened: int, past: Sequence[PastPeriod]) -> str:
    """Return the report of ended periods, the newest first."""
    lines = ["# Budgets", f"{opened} coming periods opened early."]
    if not past:
        return "\n\n".join([*lines, "No period has ended since the last report."])
    final = sum(period.final for period in past)
    lines.append(f"{len(past)} periods have ended, {final} of them are final and closed now.")
    rows = [
        (
            period.budget,
            f"{period.period_start:%Y-%m-%d %H:%M}",
            f"{period.period_end:%Y-%m-%d %H:%M %Z}",
            usd(period.amount_usd),
            usd(period.spent_usd),
            _percent(period.spent_usd, period.amount_usd),
            usd(period.held_usd),
            "final" if period.final else "may still change",
        )
        for period in _newest(past)
    ]
    columns = ("Budget", "From", "To", "Limit", "Spent", "Used", "Held", "State")
    return "\n\n".join([*lines, table(columns, rows), *_more(past)])


def period_bars(past: Sequence[PastPeriod]) -> list[Bar]:
    """Return the share of each ended period's limit that was spent."""
    return [
        Bar(
            label=f"{period.budget} {period.period_start:%m-%d}",
            value=_share(period.spent_usd, period.amount_usd),
            text=f"{_percent(period.spent_usd, period.amount_usd)} of {usd(period.amount_usd)}",
            is_hot=period.spent_usd > period.amount_usd,
        )
        for period in _newest(past)
    ]


def performance_markdown(
    windows: int, changed: int | None, hours: int, models: Sequence[Mapping[str, Any]]
) -> str:
    """Return how each model did in the last hours; `changed` hours had to be computed again."""
    which = "all hours" if changed is None else f"the {changed} hours in which something changed"
    lines = [
        "# Model performance",
        f"{windows} windows recomputed from the ledger, those of {which}."
        f" Below: the last {hours} hours.",
    ]
    if not models:
        return "\n\n".join([*lines, "No model was asked."])
    columns = ("Model", "Attempts", "Succeeded", "Cost", "Cost per success", "Latency",
               "Slowest hour's p95", "Tokens", "Feedback")  # fmt: skip
    rows = [
        (
            model["model"],
            model["requests"],
            _percent(Decimal(model["successes"]), Decimal(model["requests"])),
            usd(model["cost_usd"]),
            _per_success(model["cost_per_success_usd"]),
            _ms(model["latency_ms_avg"]),
            _ms(model["latency_ms_p95"]),
            "-" if model["tokens_avg"] is None else model["tokens_avg"],
            "-" if model["satisfaction"] is None else f"{model['satisfaction']:.0%}",
        )
        for model in models
    ]
    return "\n\n".join([*lines, table(columns, rows)])


def cost_bars(models: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Return what each model cost, the dearest first."""
    dearest = sorted(models, key=lambda model: model["cost_usd"], reverse=True)
    return [
        Bar(
            label=model["model"],
            value=model["cost_usd"],
            text=f"{usd(model['cost_usd'])}, {model['requests']} attempts",
            is_hot=model["successes"] * 2 < model["requests"],
        )
        for model in dearest
    ]


def drift_markdown(drifts: Sequence[Drift], no_meter: str | None = None) -> str:
    """Return the comparison with the provider's meter."""
    lines = ["# Ledger and provider"]
    if no_meter is not None:
        return "\n\n".join([*lines, f"Nothing to compare with: {escaped(no_meter)}"])
    alarms = [drift for drift in drifts if drift.is_alarm]
    lines.append(
        f"**{len(alarms)} of {len(drifts)} spans have drifted.**"
        if alarms
        else "The ledger and the provider's meter agree."
    )
    columns = ("Span", "From (UTC)", "Meter", "Ledger", "Drift", "Tolerance", "Correction")
    rows = [
        (
            drift.period,
            f"{drift.starts:%Y-%m-%d}",
            usd(drift.meter_usd),
            _between(drift.low_usd, drift.high_usd),
            f"${plain(drift.drift_usd)}",
            usd(drift.tolerance_usd),
            "booked" if drift.booked else drift.note or "none needed",
        )
        for drift in drifts
    ]
    return "\n\n".join([*lines, table(columns, rows)])


def catalogue_markdown(source: str, models: int, changes: Mapping[str, Sequence[str]]) -> str:
    """Return what a refresh of the price list changed."""
    lines = ["# Price list", f"{models} models priced by {escaped(source)}."]
    rows = [
        (what, len(names), ", ".join(names[:20]) + (" ..." if len(names) > 20 else "") or "-")
        for what, names in changes.items()
    ]
    return "\n\n".join([*lines, table(("Change", "Models", "Which"), rows)])


def counts_markdown(
    title: str, counts: Sequence[tuple[str, int]], troubles: Sequence[str] = ()
) -> str:
    """Return a list of what was done, and what went wrong on the way."""
    parts = [f"# {title}"]
    done = [(what, count) for what, count in counts if count]
    parts.append(table(("What", "How many"), done) if done else "Nothing was due.")
    if troubles:
        parts.append("## Left for the next sweep")
        parts.append("\n".join(f"- {escaped(trouble)}" for trouble in troubles[:20]))
    return "\n\n".join(parts)


def _newest(past: Sequence[PastPeriod]) -> list[PastPeriod]:
    return sorted(past, key=lambda one: (one.period_end, one.spent_usd), reverse=True)[:ROWS_MAX]


def _more(past: Sequence[PastPeriod]) -> list[str]:
    return [f"and {len(past) - ROWS_MAX} more"] if len(past) > ROWS_MAX else []


def _share(part: Decimal, whole: Decimal) -> Decimal:
    return part / whole if whole > ZERO_USD else Decimal(part > ZERO_USD)


def _percent(part: Decimal, whole: Decimal) -> str:
    return f"{_share(part, whole):.0%}"


def _between(low: Decimal, high: Decimal) -> str:
    return usd(low) if low == high else f"{usd(low)} to {usd(high)}"


def _per_success(amount: Decimal | None) -> str:
    return "-" if amount is None else f"${amount:.6f}"


def _ms(value: int | None) -> str:
    return "-" if value is None else f"{value} ms"
