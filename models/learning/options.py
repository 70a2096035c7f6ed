"""A policy's models as options in a kind of work, and what the policy wants of them."""

from __future__ import annotations

from collections.abc import Mapping

from models.learning.kinds import Kind
from models.learning.pareto import Option
from models.learning.posteriors import Belief, Posteriors, statistic
from models.learning.priorities import Aim
from models.learning.priors import belief_in
from models.policy import Policy
from models.pricing import ModelCard


def aim_of(policy: Policy) -> Aim:
    """Return what a policy wants; a success is worth what it may cost, if nothing else is said."""
    value_usd = policy.success_value_usd or policy.max_cost_per_task
    return Aim(statistic(value_usd), policy.latency_ms_max)


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
