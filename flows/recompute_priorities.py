"""The flow `recompute-priorities`: how the models did, and whom to ask first, every hour."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from tasks.judge_canaries import judge_canaries
from tasks.learn_priorities import learn_priorities
from tasks.measure_performance import measure_performance
from tasks.steps import shared_runtime

Hours = Annotated[int, Field(ge=1, le=24 * 90, title="Hours", description="What is reported")]
Everything = Annotated[
    bool, Field(title="Everything", description="Compute all windows again, not only the changed")
]


@flow(name="recompute-priorities", retries=0)
async def recompute_priorities(hours: Hours = 48, everything: Everything = False) -> dict[str, Any]:
    """Bring the windows of performance up to date, then every policy's order of models.

    At last the policy versions on trial are judged.

    Late bills and scores change old windows: every hour in which anything changed is computed
    again. Running it twice changes nothing.
    """
    async with shared_runtime():
        found = await measure_performance(hours, everything=everything)
        learned = await learn_priorities()
        canaries = await judge_canaries()
    return {
        "windows": found.windows,
        "dropped": found.dropped,
        "models": len(found.models),
        "moved": {one.name: one.version for one in learned if one.moved},
        "canaries": canaries,
    }
