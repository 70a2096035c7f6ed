"""The flow `route-batch`: a stored batch of requests, a chunk of them as one task."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run

from flows.batch import Report, work_through
from models.batch import BatchCounts
from models.money import plain
from tasks.batch_steps import batch_run
from tasks.route_chunk import route_chunk
from tasks.steps import shared_runtime

REPORT_S = 2.0


@flow(name="route-batch", retries=0, persist_result=True, validate_parameters=True)
async def route_batch(
    batch_id: UUID,
    concurrency: int | None = None,
    deadline_s: float | None = None,
    upstream_batch: bool = False,
) -> State[dict[str, Any]]:
    """Work through a stored batch; a batch that was begun goes on where it stopped.

    The result says how many lines ended how, and what they cost; a line's own result is with its
    decision. `deadline_s` counts from the start of this run. `upstream_batch` sends lines as
    asynchronous batches of the upstream, at its discount; their answers may take a day.
    """
    async with (
        shared_runtime(),
        batch_run(
            batch_id,
            trace="flow",
            flow_run_id=UUID(str(flow_run.id)),
            concurrency=concurrency,
            deadline_s=deadline_s,
            upstream_batch=upstream_batch,
        ) as run,
    ):
        progress = await acreate_progress_artifact(
            run.counts().share * 100, key="batch", description=in_words(run.counts())
        )

        async def show(counts: BatchCounts) -> None:
            await aupdate_progress_artifact(
                progress, counts.share * 100, description=in_words(counts)
            )

        counts = await work_through(run, route_chunk, at_most_every(REPORT_S, show))
        await show(counts)
    return final_state(counts)


def at_most_every(seconds: float, show: Report) -> Report:
    """Return a report that passes on what comes at least `seconds` after the last one."""
    shown_s = time.monotonic()

    async def report(counts: BatchCounts) -> None:
        nonlocal shown_s
        if time.monotonic() - shown_s >= seconds:
            shown_s = time.monotonic()
            await show(counts)

    return report


def in_words(counts: BatchCounts) -> str:
    """Return how far the batch is in one line."""
    parts = ", ".join(f"{count} {status}" for status, count in sorted(counts.by_status.items()))
    same = f" ({counts.duplicates} of them duplicates)" if counts.duplicates else ""
    return f"{counts.ended} of {counts.lines} lines{same}: {parts}; ${plain(counts.cost_usd)}"


def final_state(counts: BatchCounts) -> State[dict[str, Any]]:
    """Return the run's state: Failed only where lines failed."""
    failed = counts.exit_code() == 1
    return State(
        type=StateType.FAILED if failed else StateType.COMPLETED,
        name="Failed" if failed else "Completed",
        message=in_words(counts),
        data=counts.as_dict() | {"cost_usd": plain(counts.cost_usd)},
    )
