"""The turn of budget periods, as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.upkeep_report import period_bars, periods_markdown
from tasks.adapters import schedule
from tasks.artifacts import leave_chart, leave_report


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def turn_periods() -> schedule.Turn:
    """Open coming periods, close final ones; leave what the ended ones had spent."""
    turn = await schedule.turn_periods()
    await leave_report(
        "budget-periods",
        periods_markdown(turn.opened, turn.past),
        f"{len(turn.past)} ended periods, {turn.opened} opened",
    )
    await leave_chart("budget-use", "Share of each limit that was spent", period_bars(turn.past))
    return turn
