"""Run one batch file: stored, worked through in a lane, its results written as they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from deployments.batch_file import ResultFile
from deployments.heap import settled_heap
from deployments.lanes import flow_lane
from models.batch import BatchCounts
from models.errors import PrefectFailed
from models.money import parse_usd
from models.request import Trace
from tasks.adapters.settings import Settings

CONCURRENCY = 16
Tell = Callable[[BatchCounts], None]


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """What is asked of a batch; `anew` pays again for a file that was done before."""

    source: Path
    out: Path
    max_cost_usd: Decimal | None = None
    deadline_s: float | None = None
    concurrency: int = CONCURRENCY
    anew: bool = False
    trace: Trace = "flow"
    upstream_batch: bool = False


async def run_batch(settings: Settings, order: BatchOrder, tell: Tell) -> tuple[UUID, BatchCounts]:
    """Store the file, route its lines, write `order.out`; return the batch and what became of it.

    Killed and started again it goes on where it stopped.
    """
    from deployments.preparation import prepared_runtime
    from tasks.adapters.batches import delivering_to, store_file

    async with prepared_runtime(settings) as opened:
        batch_id = await store_file(
            opened,
            order.source,
            max_cost_usd=order.max_cost_usd,
            concurrency=order.concurrency,
            anew=order.anew,
        )
        with ResultFile(order.out, batch_id, tell) as results:
            await results.catch_up(opened.database)
            with delivering_to(results):
                run = _as_flow if order.trace == "flow" else _as_plain
                return batch_id, await run(batch_id, order)


async def _as_plain(batch_id: UUID, order: BatchOrder) -> BatchCounts:
    from flows.batch import work_through
    from tasks.batch_steps import batch_run, route_lines

    async def unreported(counts: BatchCounts) -> None:
        return None

    async with batch_run(
        batch_id,
        trace="ledger",
        deadline_s=order.deadline_s,
        concurrency=order.concurrency,
        upstream_batch=order.upstream_batch,
    ) as run:
        with settled_heap():
            return await work_through(run, route_lines, unreported)


async def _as_flow(batch_id: UUID, order: BatchOrder) -> BatchCounts:
    # Importing Prefect takes seconds: only this lane pays for it.
    from flows.route_batch import route_batch

    async with flow_lane():
        with settled_heap():
            state = await route_batch(
                batch_id,
                concurrency=order.concurrency,
                deadline_s=order.deadline_s,
                upstream_batch=order.upstream_batch,
                return_state=True,
            )
    found = await state.aresult(raise_on_failure=False)
    if isinstance(found, BaseException):
        raise found
    if not isinstance(found, dict):
        raise PrefectFailed(f"the flow run ended without a result: {state.name}")
    return BatchCounts(
        lines=found["lines"],
        by_status=found["by_status"],
        duplicates=found["duplicates"],
        cost_usd=parse_usd(found["cost_usd"]),
    )
