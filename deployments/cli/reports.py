"""`switchyard costs` and `switchyard performance`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from deployments.cli.output import json_option, print_json, print_table
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from tasks.adapters.runtime import Runtime
    from tasks.adapters.store.costs import CostGroup
    from tasks.adapters.store.reports import PerformanceGroup

GROUPS_MAX = 1000
KINDS = ("downgrade", "cache", "duplicate", "escalation")
PERFORMANCE = (
    "attempts",
    "success",
    "mean ms",
    "p95 ms",
    "cost",
    "a success costs",
    "tokens a success",
    "errors",
    "satisfaction",
)
COST_GROUPS = ("day", "week", "month", "policy", "model", "worker", "task_type", "task")


def since_option(command: Any) -> Any:  # click's decorators are untyped in both directions
    """Add `--since` to a command: a span such as 7d or 12h, or a date."""
    add = click.option("--since", default="30d", show_default=True, help="Such as 7d, 12h, a date.")
    return add(command)


def span_options(command: Any) -> Any:  # Any: as since_option
    """Add `--since` and `--until` to a command."""
    add = click.option("--until", help="Such as 1d, a date; default now.")
    return since_option(add(command))


def parse_span(since: str, until: str | None) -> tuple[datetime, datetime]:
    """Return the bounds of a span; raises InvalidConfiguration for one that ends before it starts.

    Without an end it lasts a minute more: rows written while this is asked belong to the answer.
    """
    from models.errors import InvalidConfiguration

    now = datetime.now(UTC)
    start = parse_since(since, now)
    end = now + timedelta(minutes=1) if until is None else parse_since(until, now, "until")
    if start >= end:
        raise InvalidConfiguration(f"since: {since!r} is not before {until or 'now'!r}")
    return start, end


def parse_since(text: str, now: datetime, name: str = "since") -> datetime:
    """Return the instant that `7d`, `12h` or an ISO date means; raises InvalidConfiguration."""
    from models.errors import InvalidConfiguration

    units = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
    try:
        if text[:-1].isdecimal() and text[-1:] in units:
            return now - int(text[:-1]) * units[text[-1]]
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidConfiguration(
            f"{name}: {text!r} is neither a span like 7d nor a date"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@click.command()
@span_options
@click.option("--group-by", type=click.Choice(COST_GROUPS), default="policy", show_default=True)
@json_option
def costs(since: str, until: str | None, group_by: CostGroup, as_json: bool) -> None:
    """Show what was spent, by day, week, month, policy, model, worker, task type or task."""
    start, end = parse_span(since, until)

    async def read(opened: Runtime) -> dict[str, Any]:
        from tasks.adapters.store.costs import cost_report
        from tasks.adapters.store.reports import Span

        span = Span(start, end)
        return await cost_report(opened.database, span, group_by, after=None, limit=GROUPS_MAX)

    document = in_runtime(read)
    if as_json:
        print_json(document)
        return
    rows = [cost_row(group, group["key"], group["cost_usd"]) for group in document["groups"]]
    rows.append(cost_row(document, "total", document["total_cost_usd"]))
    columns = (group_by, "requests", "cost", "saved", *(f"by {kind}" for kind in KINDS))
    print_table(columns, rows)


def cost_row(sums: dict[str, Any], key: str, cost_usd: Decimal) -> tuple[Any, ...]:
    """Return one line of the table of costs: what was saved, as a whole and by kind."""
    kinds = sums["saved_by_kind"]
    return key, sums["requests"], cost_usd, sums["saved_usd"], *(kinds[kind] for kind in KINDS)


@click.command()
@span_options
@click.option(
    "--group-by",
    type=click.Choice(["model", "provider", "policy", "task_type", "complexity"]),
    default="model",
    show_default=True,
)
@json_option
def performance(since: str, until: str | None, group_by: PerformanceGroup, as_json: bool) -> None:
    """Show success, latency, tokens and errors by model, policy or kind of work."""
    start, end = parse_span(since, until)

    async def read(opened: Runtime) -> dict[str, Any]:
        from tasks.adapters.store.reports import Span, performance_report

        span = Span(start, end)
        return await performance_report(
            opened.database, span, group_by, after=None, limit=GROUPS_MAX
        )

    document = in_runtime(read)
    if as_json:
        print_json(document)
        return
    columns = (group_by, *PERFORMANCE)
    print_table(columns, [performance_row(group) for group in document["groups"]])


def performance_row(group: dict[str, Any]) -> tuple[Any, ...]:
    """Return one line of the table of performance, in the units that people read."""
    errors = ", ".join(f"{kind} {count}" for kind, count in group["errors"].items())
    return (
        group["key"],
        group["requests"],
        _percent(group["success_rate"]),
        group["latency_ms_avg"] and round(group["latency_ms_avg"]),
        group["latency_ms_p95"],
        group["cost_usd"],
        group["cost_per_success_usd"],
        group["tokens_per_success"] and round(group["tokens_per_success"]),
        errors or None,
        _percent(group["satisfaction"]),
    )


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
