"""The flow `reset-budgets`: the turn of budget periods, every day."""

from __future__ import annotations

from prefect import flow

from tasks.steps import shared_runtime
from tasks.turn_periods import turn_periods


@flow(name="reset-budgets", retries=0)
async def reset_budgets() -> dict[str, int]:
    """Open the coming periods early, close the final ones, and report what the ended ones spent.

    Nothing depends on it: a period opens on first use, and its row is never reset or reused.
    """
    async with shared_runtime():
        turn = await turn_periods()
    closed = sum(period.final for period in turn.past)
    return {"opened": turn.opened, "ended": len(turn.past), "closed": closed}
