"""The command group, and the one place where errors become exit codes."""

from __future__ import annotations

import sys

import click

from deployments.cli import budgets, decisions, policies, processes, reports, route
from models.errors import SwitchyardError

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="switchyard")
def switchyard() -> None:
    """Route the tasks of AI workers to the right LLM, inside budgets that hold.

    Exit codes: 0 done, 1 the world failed, 2 bad input, 3 refused by a budget,
    4 parked or awaiting approval, 130 Ctrl-C.
    """


for command in (
    route.route,
    policies.policies,
    budgets.budgets,
    budgets.audit,
    reports.costs,
    decisions.explain,
    decisions.replay,
    processes.simulator,
    processes.database,
):
    switchyard.add_command(command)


def main() -> None:
    """Run the command line; print one clear line for every expected error."""
    try:
        code = switchyard.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except SwitchyardError as error:
        click.echo(f"switchyard: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)
