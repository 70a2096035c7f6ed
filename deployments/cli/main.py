"""The command group, and the one place where errors become exit codes."""

from __future__ import annotations

import click

from deployments.cli import (
    approvals,
    backtest,
    batch,
    budgets,
    cache,
    decisions,
    keys,
    limits,
    policies,
    processes,
    reports,
    route,
    serve,
    success,
)
from deployments.edge import complain, run_to_exit


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="switchyard")
def switchyard() -> None:
    """Route the tasks of AI workers to the right LLM, inside budgets that hold.

    Exit codes: 0 done, 1 the world failed, 2 bad input, 3 refused by a budget,
    4 parked or awaiting approval, 130 Ctrl-C, 143 terminated.
    """


for command in (
    route.route,
    batch.batch,
    policies.policies,
    budgets.budgets,
    budgets.audit,
    approvals.approve,
    approvals.automations,
    reports.costs,
    reports.performance,
    success.report,
    decisions.explain,
    decisions.replay,
    decisions.feedback,
    backtest.backtest,
    keys.keys,
    cache.cache,
    limits.limits,
    serve.serve,
    processes.up,
    processes.deploy,
    processes.worker,
    processes.simulator,
    processes.database,
):
    switchyard.add_command(command)


def main() -> None:
    """Run the command line; print one clear line for every expected error."""
    run_to_exit(_run)


def _run() -> int:
    try:
        code = switchyard.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return complain(_usage_problem(error), 2)
    except click.Abort:  # click's form of Ctrl-C
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else 0


def _usage_problem(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = "" if context is None else f" (see `{context.command_path} --help`)"
    return error.format_message() + hint
