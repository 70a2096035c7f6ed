"""From outcomes to a new version of a policy: which model is asked first, for each kind of work.

`recompute-priorities` calls, per policy: `reordered(policy, posteriors, cards, kinds, ...)`, stores
`Reordered.policy` as a new version when `moves` is not empty, with the moves as its reason, and
shows them in its artifact. Nothing here reads a clock or a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from models.learning.chains import NO_CEILING, STEPS_MAX, Ceiling, Verdict, planned_chain
from models.learning.checks import TRUE_CHECK, Check
from models.learning.kinds import ANY, Kind
from models.learning.pareto import Option
from models.learning.posteriors import Belief, Posteriors, statistic
from models.learning.priorities import Aim, settled_order
from models.learning.priors import belief_in
from models.policy import Complexity, LearnedOrder, Policy
from models.pricing import ModelCard


class Reordered(NamedTuple):
    """The policy with its learned orders, and what changed, one line each."""

    policy: Policy
    moves: tuple[str, ...]


def aim_of(policy: Policy, latency_ms_max: float | None = None) -> Aim:
    """Return what a policy wants; a success is worth what it may cost, if nothing else is said."""
    value_usd = policy.success_value_usd or policy.max_cost_per_task
    return Aim(statistic(value_usd), latency_ms_max)


def beliefs_in(
    policy: Policy, cards: Mapping[str, ModelCard], task_type: str | None = None
) -> dict[str, Belief]:
    """Return the prior of every model of a policy that has a price."""
    return {
        entry.model_id: belief_in(entry.model_id, card.price, task_type)
        for entry in policy.ordered_models()
        if (card := cards.get(entry.model_id)) is not None and card.price is not None
    }


def options_for(posteriors: Posteriors, kind: Kind, beliefs: Mapping[str, Belief]) -> list[Option]:
    """Return the models as options in a kind of work."""
    return [
        Option(model_id, found.success, found.cost_usd, found.latency_ms, found.evidence)
        for model_id, found in posteriors.estimates(kind, beliefs).items()
    ]


def chain_for(
    posteriors: Posteriors,
    kind: Kind,
    beliefs: Mapping[str, Belief],
    aim: Aim,
    check: Check = TRUE_CHECK,
    ceiling: Ceiling = NO_CEILING,
    present: Sequence[str] = (),
) -> Verdict:
    """Return the best chain for a kind of work, or the single call that none beats."""
    later = [
        posteriors.estimates(kind._replace(failed_before=failed), beliefs)
        for failed in range(1, STEPS_MAX)
    ]

    def after(model_id: str, failed_before: int) -> float:
        """Return P(success) of what is left."""
        return later[failed_before - 1][model_id].success

    return planned_chain(options_for(posteriors, kind, beliefs), after, check, aim, ceiling,
                         present)  # fmt: skip


def reordered(
    policy: Policy,
    posteriors: Posteriors,
    cards: Mapping[str, ModelCard],
    kinds: Iterable[Kind],
    *,
    check: Check | None = None,
    latency_ms_max: float | None = None,
) -> Reordered:
    """Return the policy with an order for each kind; with a check, chains where they pay.

    Learning switched off changes nothing. The ceiling of a chain's cost is the policy's limit per
    task. Kinds that are not given keep the order they have.
    """
    if policy.learning == "off":
        return Reordered(policy, ())
    aim = aim_of(policy, latency_ms_max)
    orders = {(one.task_type, one.complexity): one for one in policy.orders}
    moves = []
    for kind in kinds:
        beliefs = beliefs_in(policy, cards, kind.task_type)
        if not beliefs:
            continue
        made = _order(policy, posteriors, kind, beliefs, aim, check)
        place = (made.task_type, made.complexity)
        before = orders.get(place)
        if _moves(made, before or _unlearned(policy, made)):
            moves.append(made.note())
            orders[place] = made
        elif before is not None:
            orders[place] = made.model_copy(update={"reason": before.reason})
    return Reordered(policy.model_copy(update={"orders": tuple(orders.values())}), tuple(moves))


def _moves(made: LearnedOrder, before: LearnedOrder) -> bool:
    """Say whether requests go elsewhere: the first choice or the chain is another one."""
    if made.escalates != before.escalates or made.models[0] != before.models[0]:
        return True
    return made.escalates and made.models != before.models


def _order(
    policy: Policy, posteriors: Posteriors, kind: Kind, beliefs: Mapping[str, Belief], aim: Aim,
    check: Check | None,
) -> LearnedOrder:  # fmt: skip
    complexity = None if kind.complexity == ANY else Complexity(kind.complexity)
    if check is not None:
        ceiling = Ceiling(statistic(policy.max_cost_per_task))
        held = policy.order_for(kind.task_type, complexity or policy.complexity)
        chain = held.models if held is not None and held.escalates else ()
        verdict = chain_for(posteriors, kind, beliefs, aim, check, ceiling, chain)
        if verdict.worth_it:
            return LearnedOrder(
                task_type=kind.task_type, complexity=complexity, models=verdict.chain.models,
                escalates=True, reason=verdict.reason,
            )  # fmt: skip
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


def _unlearned(policy: Policy, like: LearnedOrder) -> LearnedOrder:
    """Return the policy's own order in the shape of a learned one."""
    ids = tuple(entry.model_id for entry in policy.ordered_models())
    return like.model_copy(update={"models": ids, "escalates": False, "reason": ""})
