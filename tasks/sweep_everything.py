"""The full sweep, as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from models.upkeep_report import counts_markdown
from tasks.adapters import schedule
from tasks.artifacts import leave_report


@task(retries=0, cache_policy=NO_CACHE, persist_result=False)
async def sweep_everything() -> schedule.SweepOutcome:
    """Expire, reconcile, release and tell; leave what was done."""
    outcome = await schedule.sweep()
    done = counts(outcome)
    described = ", ".join(f"{count} {what}" for what, count in done if count) or "nothing was due"
    await leave_report(
        "sweep",
        counts_markdown("Sweep of the ledger", done, outcome.waiting.troubles),
        described[:500],
    )
    return outcome


def counts(outcome: schedule.SweepOutcome) -> list[tuple[str, int]]:
    """Return what a sweep did, in words and numbers."""
    holds, lost, waiting = outcome.holds, outcome.reconciled, outcome.waiting
    return [
        ("expired holds released", holds.released),
        ("calls whose worker vanished, kept held", holds.unknown),
        ("bills found by their generation", lost.by_generation),
        ("bills found by the key's spending", lost.by_key),
        ("bills assumed at the hold", lost.assumed),
        ("bills still unknown", lost.waiting),
        ("waiting requests released", len(waiting.released)),
        ("waiting requests ended", len(waiting.ended)),
        ("suspended runs told of the end", len(waiting.woken)),
        ("requests that wait on", len(waiting.left)),
        ("alerts raised", outcome.raised),
        ("alerts told", outcome.announced),
    ]
