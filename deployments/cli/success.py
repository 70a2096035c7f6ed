"""`switchyard report`: the success metrics against their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deployments.cli.output import json_option, print_json, print_table, say
from deployments.cli.reports import parse_span, span_options
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from models.report import Metric, Report
    from tasks.adapters.runtime import Runtime
    from tasks.adapters.store.success import ReportPeriod

COLUMNS_MAX = 5  # periods in a table for people; the JSON has all


@click.command()
@span_options
@click.option(
    "--period", type=click.Choice(["day", "week", "month"]), default="week", show_default=True
)
@json_option
def report(since: str, until: str | None, period: ReportPeriod, as_json: bool) -> None:
    """Compare cost, success, response time, budgets kept and balance with their targets.

    Per day, week or month (UTC), with the trend: the newest period against the one before.
    """
    start, end = parse_span(since, until)

    async def read(opened: Runtime) -> Report:
        from tasks.adapters.store.success import success_report

        return await success_report(opened.database, start, end, period)

    made = in_runtime(read)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        _print(made)


def _print(made: Report) -> None:
    shown = made.metrics[0].periods[-COLUMNS_MAX:]
    starts = [f"{one.period_start:%Y-%m-%d}" for one in shown]
    columns = ("metric", "target", "now", "met", "trend", *starts)
    print_table(columns, [_row(metric) for metric in made.metrics], f"by {made.period}")
    missed = [metric.title for metric in made.metrics if metric.met is False]
    say(f"{made.requests} requests; missed: {', '.join(missed) or 'nothing'}")


def _row(metric: Metric) -> tuple[object, ...]:
    met = {True: "yes", False: "no", None: None}[metric.met]
    values = [metric.said(one.value) for one in metric.periods[-COLUMNS_MAX:]]
    sign = "<" if metric.target_is == "below" else "at least"
    target = f"{sign} {metric.said(metric.target)}"
    return (metric.title, target, metric.said(metric.value), met, metric.trend.value, *values)
