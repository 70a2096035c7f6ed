"""From outcomes to a new version of a policy: which model is asked first, for each kind of work.

`recompute-priorities` calls, per policy: `reordered(policy, posteriors, cards, kinds, ...)`, stores
its orders as a new version when `moves` is not empty, with the moves as its reason, and shows them
in its artifact. Nothing here reads a clock or a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from models.learning.agreements import Agreements
from models.learning.chain_orders import NO_AGREEMENTS, Trust, chain_order, starting_order
from models.learning.checks import Check
from models.learning.kinds import ANY, Kind
from models.learning.options import aim_of, beliefs_in, options_for
from models.learning.posteriors import Belief, Posteriors
from models.learning.priorities import Aim, settled_order
from models.policy import Complexity, EscalationCheck, LearnedOrder, Policy
from models.pricing import ModelCard

Place = tuple[str, Complexity | None, EscalationCheck | None]


class Reordered(NamedTuple):
    """The policy with its learned orders, and what changed, one line each."""

    policy: Policy
    moves: tuple[str, ...]


def reordered(
    policy: Policy,
    posteriors: Posteriors,
    cards: Mapping[str, ModelCard],
    kinds: Iterable[Kind],
    *,
    check: Check | None = None,
    agreements: Agreements = NO_AGREEMENTS,
) -> Reordered:
    """Return the policy with an order for each kind; with a check, its chains where they pay.

    Learning switched off changes nothing, and a policy whose escalation is off gets no chains. The
    ceilings of a chain are the policy's limit per task and `escalation_max_s`. Kinds that are not
    given keep the orders they have.
    """
    if policy.learning == "off":
        return Reordered(policy, ())
    aim = aim_of(policy)
    trust = None if check is None or policy.escalation == "off" else Trust(check, agreements)
    orders = {_place(one): one for one in policy.orders}
    moves = []
    for kind in kinds:
        for made in _made(policy, posteriors, kind, cards, aim, trust):
            place, before = _place(made), orders.get(_place(made))
            if _moves(made, before or _unlearned(policy, cards, made)):
                moves.append(_note(policy, made))
                orders[place] = made
            elif before is not None:
                orders[place] = made.model_copy(update={"reason": before.reason})
    return Reordered(policy.model_copy(update={"orders": tuple(orders.values())}), tuple(moves))


def _place(order: LearnedOrder) -> Place:
    return order.task_type, order.complexity, order.check


def _moves(made: LearnedOrder, before: LearnedOrder | None) -> bool:
    """Say whether requests go elsewhere: the first choice or the chain is another one."""
    if before is None or made.check is None:
        return before is None or made.models[0] != before.models[0]
    return made.models != before.models


def _note(policy: Policy, made: LearnedOrder) -> str:
    """Return what the artifact says of an order; a suggested chain is not followed."""
    if made.check is None:
        return made.note()
    note = f"{'checked' if made.check == 'accept' else 'unchecked'} requests, {made.note()}"
    return f"suggested only: {note}" if policy.escalation == "suggested" else note


def _made(
    policy: Policy, posteriors: Posteriors, kind: Kind, cards: Mapping[str, ModelCard], aim: Aim,
    trust: Trust | None,
) -> Iterator[LearnedOrder]:  # fmt: skip
    """Yield the order of a kind, and its chain for each check that the policy lets decide."""
    beliefs = beliefs_in(policy, cards, kind.task_type)
    if not beliefs:
        return
    yield _order(policy, posteriors, kind, beliefs, aim)
    if trust is None:
        return
    checks: tuple[EscalationCheck, ...] = ("accept", policy.escalation_check)
    for check in dict.fromkeys(checks):
        made = chain_order(policy, posteriors, kind, cards, check, trust=trust, aim=aim)
        if made is not None:
            yield made


def _order(
    policy: Policy, posteriors: Posteriors, kind: Kind, beliefs: Mapping[str, Belief], aim: Aim
) -> LearnedOrder:
    complexity = None if kind.complexity == ANY else Complexity(kind.complexity)
    present = _present(policy, kind, complexity)
    order = settled_order(present, options_for(posteriors, kind, beliefs), aim)
    return LearnedOrder(
        task_type=kind.task_type, complexity=complexity, models=order.models, reason=order.reason
    )


def _present(policy: Policy, kind: Kind, complexity: Complexity | None) -> Sequence[str]:
    held = policy.order_for(kind.task_type, complexity or policy.complexity)
    if held is not None:
        return held.models
    return [entry.model_id for entry in policy.ordered_models()]


def _unlearned(
    policy: Policy, cards: Mapping[str, ModelCard], like: LearnedOrder
) -> LearnedOrder | None:
    """Return what served before anything was learned: the policy's order, or the first chain."""
    if like.check is not None:
        return starting_order(policy, cards, Kind(like.task_type), like.check)
    ids = tuple(entry.model_id for entry in policy.ordered_models())
    return like.model_copy(update={"models": ids, "reason": ""})
