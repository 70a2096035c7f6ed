"""Steps 5 to 8 as a Prefect task: choose the attempts and record why."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.decision import Arrival
from models.plan import Plan
from models.snapshot import Snapshot
from tasks.adapters import decisions


@task(task_run_name="select_model", retries=0, cache_policy=NO_CACHE, persist_result=False)
async def select_model(arrival: Arrival, snapshot: Snapshot) -> Plan:
    """Plan up to three attempts from the snapshot; the decision is stored before any is made."""
    return await decisions.select_and_record(arrival, snapshot)
