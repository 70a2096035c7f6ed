"""Step 9 as a Prefect task: one attempt, its money held before and settled after."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from models.completion import Completion
from models.decision import AttemptOrder
from models.errors import LostRace
from tasks.steps import PLAIN_STEPS


# No Prefect retry: the adapter repeats what was never sent, the flow goes on to the next model,
# and three retries of three attempts would be nine paid calls.
@task(
    task_run_name="execute_request {order.attempt_no}: {order.candidate.model_id}",
    retries=0,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def execute_request(order: AttemptOrder) -> Completion:
    """Ask the order's model; `tasks.adapters.attempts` says what can go wrong.

    One that lost its race ends Cancelled, and nobody reads what it returns.
    """
    try:
        return await PLAIN_STEPS.execute_request(order)
    except LostRace as lost:
        return Cancelled(message=str(lost))  # type: ignore[return-value]  # what Prefect shows
