"""Opens a batch for work: claimed by one runner, its ledger gathered, its claim kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextvars import ContextVar
from uuid import UUID

from models.batch import Batch
from models.errors import DatabaseFailed, InvalidRequest, NotFound
from models.request import Trace
from tasks.adapters.batches.run import BatchRun
from tasks.adapters.batches.taken_up import take_up
from tasks.adapters.ledger import reconcile_unknown
from tasks.adapters.runtime import Runtime, runtime, using_runtime
from tasks.adapters.scoped import scoped
from tasks.adapters.store import batches as store

CLAIM_S = 60.0
RENEWAL_S = 15.0
logger = logging.getLogger("switchyard.batches")
_current: ContextVar[BatchRun | None] = ContextVar("switchyard_batch_run", default=None)


def current_run() -> BatchRun:
    """Return the batch that this process works on here."""
    run = _current.get()
    if run is None:
        raise RuntimeError("no batch is open: use `async with batch_run(...)`")
    return run


@contextlib.asynccontextmanager
async def batch_run(
    batch_id: UUID,
    *,
    trace: Trace,
    flow_run_id: UUID | None = None,
    deadline_s: float | None = None,
    concurrency: int | None = None,
    upstream_batch: bool = False,
) -> AsyncIterator[BatchRun]:
    """Claim the batch and open it; what is not completed yet is open again.

    `deadline_s` counts from now. What an earlier run left with a provider is waited for and booked
    first; with `upstream_batch` new lines go there, too. Raises NotFound, and InvalidRequest while
    another process works on it.
    """
    opened = runtime()
    batch = await _claimed(opened, batch_id, deadline_s, concurrency)
    counts = await store.count_lines(opened.database, batch_id, batch.lines)
    run = BatchRun(
        opened, batch, counts, trace=trace, flow_run_id=flow_run_id, upstream_batch=upstream_batch
    )
    renewal = asyncio.create_task(_keep_claim(opened, batch_id))
    try:
        with scoped(_current, run), using_runtime(run.opened):
            await run.endings.copy_to_duplicates()
            run.taken_up = await take_up(run.opened, run.provider_batches, batch)
            yield run
    finally:
        await run.provider_batches.close()
        renewal.cancel()
        with contextlib.suppress(DatabaseFailed):  # the claim ends by itself
            await store.end_claim(opened.database, batch_id, owner=opened.owner)


async def _claimed(
    opened: Runtime, batch_id: UUID, deadline_s: float | None, concurrency: int | None
) -> Batch:
    if await store.read_batch(opened.database, batch_id) is None:
        raise NotFound(f"there is no batch {batch_id}")
    before = await store.claimed_by(opened.database, batch_id)
    dead = before if before is not None and is_dead_here(before) else None
    batch = await store.claim_batch(
        opened.database,
        batch_id,
        owner=opened.owner,
        dead=dead,
        lease_s=CLAIM_S,
        deadline_s=deadline_s,
        concurrency=concurrency,
    )
    if batch is None:
        raise InvalidRequest(f"batch {batch_id} is being worked on by {before}")
    if dead is not None:
        await _bury(opened, dead)
    return batch


async def _bury(opened: Runtime, owner: str) -> None:
    """End a dead runner's leases now, and ask the upstream what its last calls cost."""
    ended = await opened.ledger.end_leases_of(owner)
    if ended:
        await opened.ledger.sweep()
        await reconcile_unknown(opened.ledger, opened.upstream)
        logger.warning("%d calls of a runner that died were left open", ended)


def is_dead_here(owner: str) -> bool:
    """Say whether a runner of this host is gone for certain; owners are `host:pid:random`."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


async def _keep_claim(opened: Runtime, batch_id: UUID) -> None:
    while True:
        await asyncio.sleep(RENEWAL_S)
        try:
            await store.renew_claim(opened.database, batch_id, owner=opened.owner, lease_s=CLAIM_S)
        except DatabaseFailed as failure:
            logger.warning("the claim of batch %s was not renewed: %s", batch_id, failure)
