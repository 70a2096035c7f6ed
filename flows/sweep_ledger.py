"""The flow `sweep-ledger`: what crashes, full budgets and open questions left, every 5 minutes."""

from __future__ import annotations

from prefect import flow

from tasks.steps import shared_runtime
from tasks.sweep_everything import counts, sweep_everything


@flow(name="sweep-ledger", retries=0)
async def sweep_ledger() -> dict[str, int]:
    """Release expired holds, find lost bills, release waiting work, raise and tell alerts.

    Workers and the API do the cheap part of it every few seconds without a flow run.
    """
    async with shared_runtime():
        outcome = await sweep_everything()
    return {what: count for what, count in counts(outcome) if count}
