"""Whether a slow first model is hedged, and after how long; from what the snapshot holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.attempt import Candidate
from models.money import plain
from models.policy.hedge import Hedge
from models.snapshot import ModelStatistics, Snapshot

ANSWERS_MIN = 10  # the 95 % quantile of fewer is the slowest of them


@dataclass(frozen=True, slots=True)
class HedgeAfter:
    """Ask the second model too when the first has not answered after `after_ms`."""

    after_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class NoHedge:
    """The policy hedges, but not this call."""

    reason: str


def hedge_of(snapshot: Snapshot, waiting: Sequence[Candidate]) -> HedgeAfter | NoHedge | None:
    """Return when the second of the models to ask joins the first.

    None where the policy does not hedge, or no second model is left.
    """
    hedge = snapshot.policy.hedge
    if hedge is None or len(waiting) < 2:
        return None
    first, second = waiting[0], waiting[1]
    most_usd = hedge.max_extra_cost_usd
    if most_usd is not None and second.worst_case_usd > most_usd:
        return NoHedge(
            f"no hedge: the worst case ${plain(second.worst_case_usd)} of {second.model_id} is"
            f" above ${plain(most_usd)}"
        )
    if hedge.after != "p95":
        return HedgeAfter(hedge.after, f"{hedge.after} ms")
    return _after_p95(hedge, first.model_id, snapshot.statistics)


def _after_p95(
    hedge: Hedge, model_id: str, statistics: Sequence[ModelStatistics]
) -> HedgeAfter | NoHedge:
    found = next((one for one in statistics if one.model_id == model_id), None)
    answers = 0.0 if found is None else found.attempts * (found.success_rate or 0.0)
    if found is not None and found.latency_p95_ms is not None and answers >= ANSWERS_MIN:
        return HedgeAfter(found.latency_p95_ms, f"{found.latency_p95_ms} ms, its p95")
    if hedge.unknown_ms is not None:
        return HedgeAfter(hedge.unknown_ms, f"{hedge.unknown_ms} ms, its p95 is not known")
    return NoHedge(f"no hedge: fewer than {ANSWERS_MIN} answers of {model_id} are known")
