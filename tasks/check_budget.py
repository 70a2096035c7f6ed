"""Steps 3 and 4 as a Prefect task: the policy and the head-room of every budget that covers it."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.decision import Arrival
from models.snapshot import Snapshot
from tasks.adapters import decisions


@task(task_run_name="check_budget", retries=0, cache_policy=NO_CACHE, persist_result=False)
async def check_budget(arrival: Arrival) -> Snapshot:
    """Read everything the choice depends on, once, so that it can be replayed."""
    return await decisions.snapshot(arrival)
