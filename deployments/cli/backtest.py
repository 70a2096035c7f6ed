"""`switchyard backtest`: a changed policy over recorded decisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployments.cli.output import json_option, print_json, print_table, say
from deployments.cli.policies import policies_in
from deployments.cli.reports import parse_span, span_options
from deployments.cli.session import in_runtime
from models.money import plain

if TYPE_CHECKING:
    from models.backtest.quality import Interval, Quality
    from models.backtest.report import BacktestReport
    from tasks.adapters.runtime import Runtime

ROWS_MAX = 8


@click.command()
@click.argument("file", metavar="POLICY_FILE", type=click.Path(path_type=Path, dir_okay=False))
@span_options
@json_option
def backtest(file: Path, since: str, until: str | None, as_json: bool) -> None:
    """Run the policies in POLICY_FILE over recorded decisions; nothing is asked, nothing changes.

    Tells what they would have cost, how full budgets would have been, and how many answers would
    have been right, with an interval and the share that only a model of the record can speak of.
    """
    wanted = policies_in(file)
    start, end = parse_span(since, until)

    async def run(opened: Runtime) -> BacktestReport:
        from tasks.adapters.backtests import backtest as run_backtest

        return await run_backtest(opened.database, wanted, start, end)

    report = in_runtime(run)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        print_backtest(report)


def print_backtest(report: BacktestReport) -> None:
    """Print a backtest for people."""
    title = f"backtest of {', '.join(policy.name for policy in report.policies)}"
    span = f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC"
    print_table(("", "recorded", "changed policy", ""), list(_summary(report)), f"{title}, {span}")
    if report.moves:
        rows = [(move.from_model, move.to_model, move.decisions) for move in report.moves]
        print_table(("asked first", "would be asked first", "decisions"), rows[:ROWS_MAX])
    if report.budgets:
        columns = ("budget", "period turns", "limit", "spent", "would be spent", "refused")
        rows_of = [
            (one.budget, one.period_end or "never", one.amount_usd, one.recorded_usd,
             one.simulated_usd, one.refused)
            for one in report.budgets[:ROWS_MAX]
        ]  # fmt: skip
        print_table(columns, rows_of)
    for reason, count in report.left_out.items():
        say(f"left out: {count} decisions, {reason}")
    for assumption in report.assumptions:
        say(f"assumed: {assumption}")


def _summary(report: BacktestReport) -> Iterator[tuple[str, str, str, str]]:
    cost, refused = report.cost, (report.refused_recorded, report.refused_simulated)
    yield ("decisions", str(report.decisions), str(report.decisions), _affected(report))
    known = f"{cost.known_share:.1%} of decisions by recorded bills, the rest estimated"
    yield ("cost", f"${plain(cost.recorded_usd)}", f"${plain(cost.simulated_usd)}", known)
    yield ("refused", str(refused[0]), str(refused[1]), "")
    if report.success is not None:
        yield _success(report.success)
        yield ("change of success", "", _interval(report.success.change, "+.1%"), _rests(report))


def _affected(report: BacktestReport) -> str:
    return f"{report.affected} under changed policies, {report.changed} plans differ"


def _success(success: Quality) -> tuple[str, str, str, str]:
    level = f"{success.level:.0%} interval in brackets"
    return ("success", f"{success.recorded:.1%}", _interval(success.estimate, ".1%"), level)


def _interval(one: Interval, form: str) -> str:
    return f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"


def _rests(report: BacktestReport) -> str:
    success = report.success
    if success is None or not success.model_based_share:
        return "the record answers for every decision"
    return (
        f"{success.model_based_share:.1%} of decisions: no record of such a choice, a model's"
        f" word only; the rest stands on {success.effective_sample:.0f} outcomes"
    )
