"""The flow `reconcile-spend`: the ledger against the provider's own meter, every day."""

from __future__ import annotations

from prefect import flow

from models.money import plain
from tasks.compare_spend import compare_spend
from tasks.steps import shared_runtime


@flow(name="reconcile-spend", retries=0)
async def reconcile_spend() -> dict[str, str]:
    """Compare day, week and month; drift is an alert and a correction entry with its reason.

    A second run finds the corrections and books nothing more. Returns the drift of each span.
    """
    async with shared_runtime():
        found = await compare_spend()
    return {drift.period: plain(drift.drift_usd) for drift in found.drifts}
