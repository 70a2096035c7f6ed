"""`switchyard worker`: a warm worker in the foreground."""

from __future__ import annotations

import asyncio

from deployments.worker.worker import DEFAULT_LIMIT, DRAIN_S, SwitchyardWorker

POOL = "switchyard"


def run_worker(
    *,
    pool: str = POOL,
    limit: int = DEFAULT_LIMIT,
    name: str | None = None,
    queues: tuple[str, ...] = (),
    drain_s: float = DRAIN_S,
) -> None:
    """Run a worker until SIGTERM or SIGINT; the pool is made when it does not exist.

    `limit` is the most runs at once. Ordered to stop, the worker takes no more, waits `drain_s`
    for what runs, hands the rest back to be run again, and ends; a second signal hurries it.
    Reads PREFECT_API_URL, and when DATABASE_URL is set opens the ledger once for all runs.
    """
    worker = SwitchyardWorker(pool, work_queues=list(queues), name=name, limit=limit)
    worker.drain_s = drain_s
    asyncio.run(worker.start())
