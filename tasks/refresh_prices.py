"""The price list read again, as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.upkeep_report import catalogue_markdown
from tasks.adapters import schedule
from tasks.artifacts import leave_report


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def refresh_prices() -> schedule.Refresh:
    """Read the prices; leave what is new, dearer or cheaper, and gone."""
    found = await schedule.refresh()
    changes = {
        "added": found.added,
        "repriced": found.repriced,
        "suspended: no longer listed": found.suspended,
    }
    await leave_report(
        "price-list",
        catalogue_markdown(found.source, found.models, changes),
        f"{found.models} models; " + ", ".join(f"{len(v)} {k}" for k, v in changes.items()),
    )
    return found
