"""Steps 10 and 11 as a Prefect task: store the result and explain it on the run's page."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from models.decision import Arrival, Ending
from models.explanation import decision_markdown
from models.result import RoutingResult
from tasks.steps import PLAIN_STEPS


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def record_outcome(arrival: Arrival, ending: Ending) -> RoutingResult:
    """Store the result document and leave the explanation as an artifact."""
    result = await PLAIN_STEPS.record_outcome(arrival, ending)
    await acreate_markdown_artifact(
        decision_markdown(result, ending.plan),
        key="decision",
        description=f"{result.status}: {result.model or 'no model'} for {result.task_type}",
    )
    return result
