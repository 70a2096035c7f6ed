"""What `policies apply --dry-run` shows: the diff, and the backtest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from deployments.cli.output import cell_text, print_json, print_table, say
from deployments.cli.reports import parse_span
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from models.policy import Policy
    from tasks.adapters.policy_trials import Trial
    from tasks.adapters.runtime import Runtime


def show_trial(wanted: Sequence[Policy], since: str, *, as_json: bool) -> None:
    """Show what applying the policies would change and what it would have done."""
    start, end = parse_span(since, None)

    async def run(opened: Runtime) -> Trial:
        from tasks.adapters.policy_trials import try_policies

        return await try_policies(opened.database, wanted, start, end)

    trial = in_runtime(run)
    if as_json:
        _print_document(trial)
    else:
        _print_people(trial)
    say("dry run: nothing was changed")


def _print_document(trial: Trial) -> None:
    report = trial.backtest
    print_json(
        {
            "items": [
                {"name": one.name, "version": one.version, "change": one.change}
                for one in trial.applied
            ],
            "dry_run": True,
            "changes": [change.model_dump(mode="json") for change in trial.changes],
            "backtest": None if report is None else report.model_dump(mode="json"),
        }
    )


def _print_people(trial: Trial) -> None:
    from deployments.cli.backtest import print_backtest
    from models.policy.changes import change_lines

    rows = [(one.name, one.version, one.change) for one in trial.applied]
    print_table(("policy", "would be version", "change"), rows)
    for change in trial.changes:
        for line in change_lines(change):
            click.echo(cell_text(f"{change.policy}: {line}"))
    if trial.backtest is not None:
        print_backtest(trial.backtest)
