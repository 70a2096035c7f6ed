"""Steps 1 to 8 as one Prefect task: what is asked, what is left of the money, whom to ask."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.decision import Caller, Chosen
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.run_page import log_choice
from tasks.steps import PLAIN_STEPS


# One task and not three: recording task runs is half of what a decision costs, and these three
# together take a few milliseconds.
@task(
    task_run_name="decide: classify, check budget, select",
    retries=0,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def decide(request: RoutingRequest, caller: Caller) -> Chosen | RoutingResult:
    """Classify the request, read policy and budgets, plan and record up to three attempts.

    A known idempotency key brings its stored result.
    """
    chosen = await PLAIN_STEPS.decide(request, caller)
    log_choice(chosen)
    return chosen
