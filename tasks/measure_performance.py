"""Recompute how the models did, as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.upkeep_report import cost_bars, performance_markdown
from tasks.adapters import schedule
from tasks.artifacts import leave_chart, leave_report


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def measure_performance(hours: int, *, everything: bool = False) -> schedule.Windows:
    """Recompute the windows of performance; leave a table, and what each model cost."""
    found = await schedule.measure(hours, everything=everything)
    await leave_report(
        "model-performance",
        performance_markdown(found.windows, found.hours, hours, found.models),
        f"{len(found.models)} models in the last {hours} hours",
    )
    await leave_chart("model-cost", f"Cost by model, last {hours} hours", cost_bars(found.models))
    return found
