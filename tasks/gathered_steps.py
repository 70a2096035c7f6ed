"""The plain steps with their writes gathered, for one request of the lane `ledger`."""

from __future__ import annotations

from tasks.adapters.fresh import FreshReads
from tasks.adapters.gathered import GatheredSteps
from tasks.steps import Steps

__all__ = ["FreshReads", "gathered_steps"]


def gathered_steps(reads: FreshReads) -> Steps:
    """Return steps that hold the state of one request: never use them for two."""
    gathered = GatheredSteps(reads)
    return Steps(
        classify_request=gathered.receive,
        check_budget=gathered.snapshot,
        select_model=gathered.select,
        execute_request=gathered.execute,
        record_outcome=gathered.record,
    )
