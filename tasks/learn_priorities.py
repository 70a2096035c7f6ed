"""Learn the order of models from outcomes, as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.learning.report import PolicyLearning, learning_markdown
from tasks.adapters import schedule
from tasks.artifacts import leave_report


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def learn_priorities() -> list[PolicyLearning]:
    """Store what moved as new versions of policies; leave what moved, why, and the estimates."""
    found = await schedule.learn()
    moved = ", ".join(one.name for one in found if one.moved)
    await leave_report("learned-priorities", learning_markdown(found), moved or "nothing moved")
    return found
