"""The ledger against the provider's meter, as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.upkeep_report import drift_markdown
from tasks.adapters import schedule
from tasks.artifacts import leave_report


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def compare_spend() -> schedule.Comparison:
    """Compare, correct and tell; leave the comparison."""
    found = await schedule.compare()
    alarms = sum(drift.is_alarm for drift in found.drifts)
    await leave_report(
        "spend-reconciliation",
        drift_markdown(found.drifts, found.no_meter),
        found.no_meter or f"{alarms} of {len(found.drifts)} spans have drifted",
    )
    return found
