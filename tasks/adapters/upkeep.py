"""What every process does now and then, so that nothing waits for a scheduled flow."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field

from models.errors import WorldFailed
from models.ledger import ReconcileReport, SweepReport
from models.waiting import WaitingReport
from tasks.adapters.alerts import announce_alerts, collect_alerts
from tasks.adapters.ledger import checkpoint_key, reconcile_unknown
from tasks.adapters.parking import RunHere, release_due
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.answers import sweep_answers

logger = logging.getLogger("switchyard.sweep")


@dataclass(frozen=True, slots=True)
class SweepOutcome:
    """What one sweep did; `reconciled` only where it asked the upstream about lost bills."""

    holds: SweepReport
    waiting: WaitingReport
    announced: int
    raised: int = 0
    reconciled: ReconcileReport = field(default_factory=ReconcileReport)


async def sweep_once(opened: Runtime, *, run_here: RunHere | None = None) -> SweepOutcome:
    """Expire holds and answers, release waiting work, tell alerts: four cheap statements when idle.

    `run_here` goes on with a released decision in this process, where no flow run can.
    """
    holds = await opened.ledger.sweep()
    await _sweep_answers(opened)
    waiting = await release_due(opened, run_here=run_here)
    return SweepOutcome(holds, waiting, await announce_alerts(opened))


async def sweep_fully(opened: Runtime, *, run_here: RunHere | None = None) -> SweepOutcome:
    """The same, after asking the upstream about lost bills and looking for what to alert."""
    holds = await opened.ledger.sweep()
    reconciled = await reconcile_unknown(opened.ledger, opened.upstream)
    await _checkpoint(opened)
    await _sweep_answers(opened)
    raised = await collect_alerts(opened)
    waiting = await release_due(opened, run_here=run_here)
    announced = await announce_alerts(opened)
    return SweepOutcome(holds, waiting, announced, raised, reconciled)


async def _sweep_answers(opened: Runtime) -> None:
    await sweep_answers(opened.database, bytes_max=opened.settings.cache_bytes_max)


async def _checkpoint(opened: Runtime) -> None:
    try:
        await checkpoint_key(opened.ledger, opened.upstream)
    except WorldFailed as failure:  # an upstream without a meter, or away: there will be others
        logger.info("the key's spending is not known now: %s", failure)


async def sweeping(opened: Runtime, every_s: float, *, run_here: RunHere | None = None) -> None:
    """Sweep every so often until cancelled; trouble of the outside world is waited out."""
    well = True
    while True:
        try:
            await sweep_once(opened, run_here=run_here)
        except WorldFailed as trouble:
            if well:
                logger.warning("the sweep fails and goes on trying: %s", trouble)
            well = False
        else:
            well = True
        await asyncio.sleep(every_s * random.uniform(0.8, 1.2))
