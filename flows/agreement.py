"""Two cheap models asked at once where nothing is checked: what they agree on is the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from models.agreement import agrees
from models.completion import Completion
from models.decision import Answered, AttemptOrder
from models.errors import BudgetExceeded, NoBudget, UpstreamFailed
from tasks.steps import Steps


@dataclass(frozen=True, slots=True)
class Compared:
    """What the two brought, the cheaper one's answer first, and what is to be said of it."""

    answers: tuple[Answered, ...]
    do_agree: bool
    reasons: tuple[str, ...]


async def ask_two(orders: Sequence[AttemptOrder], steps: Steps) -> Compared:
    """Ask both, each from its own hold; a failure of one is told, not raised.

    Neither is cut off when the world fails for the other: its call is paid for and booked.
    """
    found = await asyncio.gather(
        *(steps.execute_request(order) for order in orders), return_exceptions=True
    )
    answers, reasons = list[Answered](), list[str]()
    for order, one in zip(orders, found, strict=True):
        if isinstance(one, Completion):
            answers.append(Answered(order.candidate.model_id, order.attempt_no, one))
        elif isinstance(one, BudgetExceeded | NoBudget | UpstreamFailed):
            reasons.append(f"{order.candidate.model_id}: {one}")
        else:
            raise one
    if len(answers) < len(orders):
        reasons.append("there are no two answers to compare: the third model is asked")
        return Compared(tuple(answers), False, tuple(reasons))
    first, second = answers
    same = agrees(first.completion.content, second.completion.content)
    said = "give the same answer" if same else "differ: the third model is asked"
    reasons.append(f"{first.model_id} and {second.model_id} {said}")
    return Compared((first, second), same, tuple(reasons))
