"""Judge the policy versions on trial, as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.explanation import table
from tasks.adapters import canaries
from tasks.adapters.runtime import runtime
from tasks.artifacts import leave_report


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def judge_canaries() -> list[str]:
    """Promote or roll back what the evidence is sure about; return one line per canary."""
    found = await canaries.judge_canaries(runtime())
    if found:
        rows = [
            (one.canary.name, one.canary.version, one.canary.status, one.verdict.reason)
            for one in found
        ]
        columns = ("Policy", "Version", "Status", "Why")
        await leave_report("policy-canaries", table(columns, rows), f"{len(found)} canaries judged")
    return [f"{one.canary.name} v{one.canary.version}: {one.canary.status}" for one in found]
