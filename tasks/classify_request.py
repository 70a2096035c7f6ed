"""Steps 1 and 2 as a Prefect task: the request arrives, is known or new, and gets its class."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.decision import Arrival, Caller
from models.request import RoutingRequest
from tasks.adapters import decisions


@task(task_run_name="classify_request", retries=0, cache_policy=NO_CACHE, persist_result=False)
async def classify_request(request: RoutingRequest, caller: Caller) -> Arrival:
    """Name the task type and complexity; a known idempotency key brings its stored result."""
    return await decisions.receive(request, caller)
