"""What was decided before any money moved, in a line for each pair of steps: for a run's log."""

from __future__ import annotations

from models.decision import Chosen
from models.money import plain
from models.snapshot import Snapshot


def choice_lines(chosen: Chosen) -> tuple[str, str, str]:
    """Return what was asked (1, 2), under which policy and budgets (3, 4), and the plan (5 to 8).

    A caller's own words are in it: control characters become spaces.
    """
    kind, snapshot = chosen.arrival.classification, chosen.snapshot
    policy = f"policy {snapshot.policy.name} version {snapshot.policy.version}"
    return (
        _one_line(f"1, 2 classified as {kind.task_type}, {kind.complexity}"),
        _one_line(f"3, 4 {policy} ({snapshot.policy_reason}); {_money(snapshot)}"),
        _one_line(f"5-8 {_plan(chosen)}"),
    )


def _money(snapshot: Snapshot) -> str:
    rooms = [f"{room.name} ${plain(room.remaining_usd)}" for room in snapshot.budgets]
    return f"left: {', '.join(rooms) or 'no budget covers this'}"


def _plan(chosen: Chosen) -> str:
    models = [
        f"{one.model_id} (at most ${plain(one.worst_case_usd)})" for one in chosen.plan.candidates
    ]
    if not models:
        return f"nothing is asked: {chosen.plan.reasons[-1] if chosen.plan.reasons else 'no model'}"
    return f"asks {', then '.join(models)}"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
