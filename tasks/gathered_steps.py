"""The plain steps with their writes gathered, for one request of the lane `ledger`."""

from __future__ import annotations

from tasks.adapters.fresh import FreshReads
from tasks.adapters.gathered import GatheredSteps
from tasks.steps import Steps, deciding

__all__ = ["FreshReads", "gathered_steps"]


def gathered_steps(reads: FreshReads) -> Steps:
    """Return steps that hold the state of one request: never use them for two."""
    gathered = GatheredSteps(reads)
    return Steps(
        decide=deciding(gathered.receive, gathered.snapshot, gathered.select),
        execute_request=gathered.execute,
        record_outcome=gathered.record,
    )
