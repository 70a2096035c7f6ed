"""Chains as orders of a policy: from outcomes, or from public priors on a fresh installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from models.classification import Classification
from models.escalation import check_for
from models.features import RequestFeatures
from models.learning.agreements import NOTHING_SEEN, Agreements, planned_agreement
from models.learning.chains import NO_CEILING, STEPS_MAX, Ceiling, Verdict, planned_chain
from models.learning.checks import TRUE_CHECK, AgreementRates, Check, CheckAudits
from models.learning.kinds import ANY, Kind
from models.learning.options import aim_of, beliefs_in, options_for
from models.learning.pareto import Option
from models.learning.posteriors import Belief, Posteriors, statistic
from models.learning.priorities import Aim
from models.policy import Brings, Complexity, EscalationCheck, LearnedOrder, Policy
from models.pricing import ModelCard

PRIOR_CHECK = CheckAudits().check()
NO_AGREEMENTS: Agreements = MappingProxyType({})


class Trust(NamedTuple):
    """How far checks can be trusted: `accept` checks, and the agreement of each pair of models."""

    check: Check = PRIOR_CHECK
    agreements: Agreements = NO_AGREEMENTS


def chain_order(
    policy: Policy,
    posteriors: Posteriors,
    kind: Kind,
    cards: Mapping[str, ModelCard],
    check: EscalationCheck,
    *,
    trust: Trust,
    aim: Aim | None = None,
) -> LearnedOrder | None:
    """Return the policy's chain for a kind of work, of one model where none pays.

    None when no model of the policy has a price.
    """
    beliefs = beliefs_in(policy, cards, kind.task_type)
    if not beliefs:
        return None
    complexity = None if kind.complexity == ANY else Complexity(kind.complexity)
    held = policy.chain_order_for(kind.task_type, complexity or policy.complexity, check)
    present = held.models if held is not None and held.escalates else ()
    seconds = policy.escalation_max_s
    ceiling = Ceiling(
        statistic(policy.max_cost_per_task), None if seconds is None else seconds * 1000.0
    )
    aim = aim or aim_of(policy)
    options = options_for(posteriors, kind, beliefs)
    if check == "accept":
        verdict = chain_for(posteriors, kind, beliefs, aim, trust.check, ceiling, present)
    else:
        after = _Later(posteriors, kind, beliefs)
        verdict = planned_agreement(options, after, trust.agreements, aim, ceiling, present)
    return LearnedOrder(
        task_type=kind.task_type,
        complexity=complexity,
        models=verdict.chain.models,
        escalates=verdict.worth_it,
        reason=verdict.reason,
        check=check,
        brings=_brings(verdict, trust, options),
    )


def starting_order(
    policy: Policy, cards: Mapping[str, ModelCard], kind: Kind, check: EscalationCheck | None
) -> LearnedOrder | None:
    """Return the chain that public priors and list prices advise before anything is learned."""
    if check is None:
        return None
    first = Kind(kind.task_type)
    return chain_order(policy, Posteriors(), first, cards, check, trust=Trust())


def starting_chain(
    policy: Policy,
    cards: Mapping[str, ModelCard],
    classification: Classification,
    features: RequestFeatures,
) -> LearnedOrder | None:
    """Return the chain to start with for a request; None when one is learned, or none is wanted."""
    check, kind = check_for(policy, features), classification
    if check is None or policy.chain_order_for(kind.task_type, kind.complexity, check):
        return None
    return starting_order(policy, cards, Kind(kind.task_type), check)


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
    after = _Later(posteriors, kind, beliefs)
    options = options_for(posteriors, kind, beliefs)
    return planned_chain(options, after, check, aim, ceiling, present)


class _Later:
    """P(success) of what is left once so many answers have failed."""

    def __init__(self, posteriors: Posteriors, kind: Kind, beliefs: Mapping[str, Belief]) -> None:
        self._found = [
            posteriors.estimates(kind._replace(failed_before=failed), beliefs)
            for failed in range(1, STEPS_MAX)
        ]

    def __call__(self, model_id: str, failed_before: int) -> float:
        return self._found[failed_before - 1][model_id].success


def _brings(verdict: Verdict, trust: Trust, options: Sequence[Option]) -> Brings:
    chain, single = verdict.chain, verdict.single
    rates: dict[str, float] = {}
    if chain.kind == "agreement":
        found = _rates(chain.models, trust.agreements, options)
        rates = {"agrees": found.agrees, "right_when_agreed": found.right_when_agreed}
    elif chain.escalates:
        check = trust.check
        rates = {"false_accept": check.false_accept, "false_reject": check.false_reject}
    return Brings(
        success=chain.success,
        cost_usd=chain.cost_usd,
        latency_ms=chain.latency_ms,
        single_model=single.models[0],
        single_success=single.success,
        single_cost_usd=single.cost_usd,
        **rates,
    )


def _rates(
    models: Sequence[str], agreements: Agreements, options: Sequence[Option]
) -> AgreementRates:
    success = {one.model_id: one.success for one in options}
    first, second = models[:2]
    seen = agreements.get((first, second), NOTHING_SEEN)
    return seen.rates(success[first], success[second])
