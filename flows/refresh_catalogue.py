"""The flow `refresh-catalogue`: new prices, and models that are gone, every day."""

from __future__ import annotations

from prefect import flow

from tasks.refresh_prices import refresh_prices
from tasks.steps import shared_runtime


@flow(name="refresh-catalogue", retries=0)
async def refresh_catalogue() -> dict[str, int | str]:
    """Read the upstream's price list; models that it no longer names are suspended."""
    async with shared_runtime():
        found = await refresh_prices()
    return {
        "source": found.source,
        "models": found.models,
        "added": len(found.added),
        "repriced": len(found.repriced),
        "suspended": len(found.suspended),
    }
