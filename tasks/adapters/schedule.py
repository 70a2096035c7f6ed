"""What the scheduled flows do, as plain functions over the open runtime; each may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models.budget import PastPeriod
from models.drift import Drift
from models.errors import WorldFailed
from models.learning.report import PolicyLearning
from tasks.adapters.catalogue import Refresh, refresh_catalogue
from tasks.adapters.drift import compare_spend
from tasks.adapters.learning import learn_orders
from tasks.adapters.runtime import runtime
from tasks.adapters.store.outcomes import recompute
from tasks.adapters.store.performance import model_windows
from tasks.adapters.upkeep import SweepOutcome, sweep_fully

__all__ = ["Refresh", "SweepOutcome"]


@dataclass(frozen=True, slots=True)
class Turn:
    """The turn of periods: how many were opened early, and what has ended."""

    opened: int
    past: list[PastPeriod]


@dataclass(frozen=True, slots=True)
class Windows:
    """The recomputed windows of performance, and how each model did lately.

    `hours` counts the hours in which something had changed, None when all were computed again.
    """

    hours: int | None
    windows: int
    dropped: int
    models: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The ledger against the meter; `no_meter` says why there was nothing to compare with."""

    drifts: list[Drift]
    no_meter: str | None = None


async def turn_periods() -> Turn:
    """Open the coming periods early, close what is final, and report what has ended."""
    ledger = runtime().ledger
    return Turn(await ledger.open_next_periods(), await ledger.close_past_periods())


async def measure(hours: int, *, everything: bool = False) -> Windows:
    """Recompute the windows in which something changed; report those of the last hours."""
    database = runtime().database
    done = await recompute(database, everything=everything)
    return Windows(done.hours, done.windows, done.dropped, await model_windows(database, hours))


async def learn() -> list[PolicyLearning]:
    """Recompute the learned order of every policy; what moved is a new version."""
    return await learn_orders(runtime())


async def sweep() -> SweepOutcome:
    """Everything that a crash, a full budget or an unanswered question has left behind."""
    return await sweep_fully(runtime())


async def compare() -> Comparison:
    """Compare with the provider's meter; an upstream without one is no failure."""
    try:
        return Comparison(await compare_spend(runtime()))
    except WorldFailed as failure:
        return Comparison([], str(failure))


async def refresh() -> Refresh:
    """Read the price list again."""
    return await refresh_catalogue(runtime(), now=datetime.now(UTC))
