"""Steps 10 and 11 as a Prefect task: store the result and explain it on the run's page."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.decision import Arrival, Ending
from models.result import RoutingResult
from tasks.run_page import leave_explanation
from tasks.steps import PLAIN_STEPS


@task(task_run_name="record_outcome", retries=0, cache_policy=NO_CACHE, persist_result=False)
async def record_outcome(arrival: Arrival, ending: Ending) -> RoutingResult:
    """Store the result document and leave the explanation as an artifact."""
    result = await PLAIN_STEPS.record_outcome(arrival, ending)
    await leave_explanation(result, ending.plan)
    return result
