"""`switchyard budgets` and `switchyard audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deployments.cli.output import json_option, print_json, print_table, say
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from models.budget import BudgetState
    from models.ledger import AuditReport
    from tasks.adapters.runtime import Runtime


@click.group()
def budgets() -> None:
    """Show and set the limits on spending."""


@budgets.command("list")
@json_option
def list_budgets(as_json: bool) -> None:
    """List every budget of the current period: spent, held, left, and when the period turns."""

    async def read(opened: Runtime) -> list[BudgetState]:
        return await opened.ledger.budgets()

    _print_budgets(in_runtime(read), as_json=as_json)


def _print_budgets(states: list[BudgetState], *, as_json: bool) -> None:
    if as_json:
        items = [state.model_dump(mode="json") for state in states]
        print_json({"items": items, "next_cursor": None})
        return
    columns = ("budget", "limit", "spent", "held", "left", "alert at", "mode", "period turns")
    print_table(columns, [_table_row(state) for state in states])


def _table_row(state: BudgetState) -> tuple[object, ...]:
    return (
        state.name if state.is_active else f"{state.name} (inactive)",
        state.budget_amount,
        state.spent_amount,
        state.reserved_amount,
        state.remaining_amount,
        f"{state.alert_threshold:.0%}",
        state.mode,
        state.period_end or "never",
    )


@budgets.command("set")
@click.argument("scope", metavar="TYPE[:KEY]")
@click.argument("period", type=click.Choice(["daily", "weekly", "monthly", "once"]))
@click.argument("amount")
@click.option("--alert", metavar="RATIO", help="Alert when this share is spent (default 0.8).")
@click.option("--tz", metavar="ZONE", help="IANA time zone of the period (default UTC).")
@click.option("--mode", type=click.Choice(["hard", "elastic"]), help="Default hard.")
@json_option
def set_budget(
    scope: str,
    period: str,
    amount: str,
    alert: str | None,
    tz: str | None,
    mode: str | None,
    as_json: bool,
) -> None:
    """Set a limit: TYPE is global, policy, worker, model or task; KEY one of them, * for each.

    Example: switchyard budgets set worker:crawler-7 daily 1.50
    """
    from models.budget import parse_budget

    budget_type, _, scope_key = scope.partition(":")
    document = {
        "budget_type": budget_type,
        "scope_key": scope_key or "*",
        "budget_period": period,
        "budget_amount": amount,
        "alert_threshold": alert,
        "time_zone": tz,
        "mode": mode,
    }
    definition = parse_budget({key: value for key, value in document.items() if value is not None})

    async def save(opened: Runtime) -> BudgetState:
        return await opened.ledger.set_budget(definition)

    state = in_runtime(save)
    if as_json:
        print_json(state.model_dump(mode="json"))
    else:
        _print_budgets([state], as_json=False)


@click.command()
@json_option
def audit(as_json: bool) -> int:
    """Recompute every balance from its entries; exit 1 when one differs."""

    async def check(opened: Runtime) -> AuditReport:
        return await opened.ledger.audit()

    report = in_runtime(check)
    if as_json:
        print_json(report.as_dict())
    elif not report.is_clean:
        columns = ("budget", "spent", "spent by entries", "held", "held by entries")
        print_table(columns, [difference.as_row() for difference in report.differences])
    if report.is_clean:
        say(f"{report.balances} balances agree with {report.entries} entries to the last digit")
    return 0 if report.is_clean else 1
