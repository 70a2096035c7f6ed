"""From rows of the record to decisions that say something, or the reason why one does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.backtest.direct import kind_of
from models.backtest.past import Past, Step
from models.money import ZERO_USD

ENDED = frozenset({"completed", "failed", "rejected"})
RIGHT_FROM = 0.5  # a score from here on is a success
Row = Mapping[str, Any]  # columns of tasks/adapters/store/backtest.py


def past_of(row: Row, attempts: Sequence[Row]) -> Past | str:
    """Return a decision for the statistics, or why it says nothing."""
    if row["status"] == "selected":
        return "selected only, nothing was asked"
    if row["status"] not in ENDED:
        return "not ended"
    if row["planned"] is None:
        return "no stored snapshot"
    if row["asks_two"] or _raced(attempts):
        return "two models were asked at once"
    if any(attempt["actual_cost"] is None for attempt in attempts):
        return "a bill is not known yet"
    if not attempts and row["status"] == "completed":
        return "answered without a call"
    if not attempts and row["planned"]:
        return "planned, but no attempt was made"
    kind = kind_of(row["task_type"], row["complexity"])
    return Past(
        key=row["id"],
        kind=kind,
        group=(row["policy_name"], row["policy_version"], kind),
        propensity=row["propensity"],
        planned=row["planned"],
        steps=_steps(attempts),
    )


def _raced(attempts: Sequence[Row]) -> bool:
    """Say whether an answer came while another call was cancelled: two were under way at once."""
    return {"ok", "cancelled"} <= {attempt["outcome"] for attempt in attempts}


def _steps(attempts: Sequence[Row]) -> tuple[Step, ...]:
    """Return the attempts in their order; asking the same model again is one step."""
    made: list[Step] = []
    for attempt in attempts:
        step = _step(attempt)
        if made and made[-1].model_id == step.model_id and not made[-1].accepted:
            step = step._replace(cost_usd=step.cost_usd + made.pop().cost_usd)
        made.append(step)
    return tuple(made)


def _step(attempt: Row) -> Step:
    score, accepted = attempt["score"], attempt["outcome"] == "ok"
    right = accepted and bool(attempt["success"]) if score is None else score >= RIGHT_FROM
    return Step(
        model_id=attempt["selected_model"],
        accepted=accepted,
        right=float(right),
        cost_usd=attempt["actual_cost"] or ZERO_USD,
        prompt_tokens=attempt["prompt_tokens"] if accepted else None,
        completion_tokens=attempt["completion_tokens"] if accepted else None,
    )
