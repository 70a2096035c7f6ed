"""The flow `recompute-priorities`: how the models did, from the ledger, every hour."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from tasks.measure_performance import measure_performance
from tasks.steps import shared_runtime

Hours = Annotated[int, Field(ge=1, le=24 * 90, title="Hours", description="How far back to look")]


@flow(name="recompute-priorities", retries=0)
async def recompute_priorities(hours: Hours = 48) -> dict[str, Any]:
    """Recompute the windows of performance and report them.

    Late bills change old windows, so the last two days are recomputed each time; running it twice
    changes nothing.
    """
    async with shared_runtime():
        found = await measure_performance(hours)
    return {"windows": found.windows, "dropped": found.dropped, "models": len(found.models)}
