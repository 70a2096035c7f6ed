"""The order in which eligible models are asked: priority, recent performance, simplicity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from models.fit import Demand
from models.plan import Considered, OutKind, out
from models.policy import LearnedOrder
from models.snapshot import Snapshot

# A model that fails more often than it works goes last, once that is no accident: with a true rate
# of 0.95 the chance of 10 or fewer successes in 20 is below one in a million.
ATTEMPTS_MIN = 20
SUCCESS_RATE_MIN = 0.5


def rested(eligible: Sequence[Demand], now: datetime) -> tuple[list[Demand], list[Considered], str]:
    """Return the models whose circuit is closed, those that must rest, and a note.

    When every circuit is open, the model that may come back first is probed all the same.
    """
    resting = [(until, one) for one in eligible if (until := _open_until(one, now)) is not None]
    if not resting:
        return list(eligible), [], ""
    closed = [one for one in eligible if _open_until(one, now) is None]
    note = ""
    if not closed:
        probed = min(resting, key=lambda pair: pair[0])
        resting.remove(probed)
        closed = [probed[1]]
        note = f"{probed[1].model_id} is probed: the circuits of all models are open"
    outs = [
        out(one.model_id, OutKind.CIRCUIT, f"resting after failures until {until:%H:%M:%S} UTC")
        for until, one in resting
    ]
    return closed, outs, note


def _open_until(one: Demand, now: datetime) -> datetime | None:
    """Return until when the model must rest, None when it need not."""
    if one.statistics is None or one.statistics.circuit_open_until is None:
        return None
    return one.statistics.circuit_open_until if one.statistics.circuit_open_until > now else None


def ranked(
    eligible: list[Demand],
    snapshot: Snapshot,
    learned: LearnedOrder | None = None,
    source: str = "learned",
) -> tuple[list[Demand], list[str]]:
    """Return the models in the order to ask them, and what moved; they come in by priority.

    A learned order, in which they come in then, already knows performance and complexity.
    """
    if learned is not None:
        return eligible, [learned.note(source)]
    if len(eligible) < 2:
        return eligible, []
    notes: list[str] = []
    order = _poor_last(eligible, snapshot, notes)
    return _simple_first(order, snapshot, notes), notes


def _poor_last(eligible: list[Demand], snapshot: Snapshot, notes: list[str]) -> list[Demand]:
    if snapshot.policy.learning == "off":
        return eligible
    poor = [one for one in eligible if _is_poor(one)]
    if not poor or len(poor) == len(eligible):
        return eligible
    for one in poor:
        rate = one.statistics.success_rate if one.statistics is not None else None
        notes.append(f"{one.model_id} goes last: only {rate or 0:.0%} of its calls succeed lately")
    return [one for one in eligible if one not in poor] + poor


def _is_poor(one: Demand) -> bool:
    found = one.statistics
    return (
        found is not None
        and found.success_rate is not None
        and found.attempts >= ATTEMPTS_MIN
        and found.success_rate < SUCCESS_RATE_MIN
    )


def _simple_first(order: list[Demand], snapshot: Snapshot, notes: list[str]) -> list[Demand]:
    """Start one step cheaper for each step by which the task is simpler than expected."""
    policy, actual = snapshot.policy, snapshot.classification.complexity
    gap = policy.complexity.rank - actual.rank
    if gap <= 0 or not policy.allow_downgrade_by_simplicity:
        return order
    first = order[0]
    cheaper = [one for one in order if one.full_usd < first.full_usd]
    if not cheaper:
        return order
    cheaper.sort(key=lambda one: one.full_usd, reverse=True)
    start = cheaper[min(gap, len(cheaper)) - 1]
    notes.append(
        f"starts at {start.model_id}, cheaper than {first.model_id}: the task is {actual.value},"
        f" the policy expects {policy.complexity.value}"
    )
    return [start, *(one for one in order if one is not start)]
