"""Between steps 8 and 9, for policies with a cache: an answer that is there or under way."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.decision import Arrival
from models.plan import Plan
from models.snapshot import Snapshot
from tasks.steps import PLAIN_STEPS, Found


# Prefect's own result cache knows no tenant, no policy and no lease: it stays off.
@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def find_answer(arrival: Arrival, snapshot: Snapshot, plan: Plan) -> Found:
    """Return a kept answer, waiting for one that is under way; `Own` when this one has to ask."""
    return await PLAIN_STEPS.find_answer(arrival, snapshot, plan)
