"""From recorded outcomes to new versions of policies: what `recompute-priorities` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from models.learning.agreements import Agreements
from models.learning.chain_orders import NO_AGREEMENTS
from models.learning.checks import Check
from models.learning.kinds import ANY, Kind
from models.learning.posteriors import Posteriors
from models.learning.recompute import reordered
from models.learning.report import KINDS_SHOWN_MAX, PolicyLearning, estimate_lines
from models.policy import Policy
from models.pricing import ModelCard
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.catalogue import read_cards
from tasks.adapters.store.check_audits import read_agreements, read_check
from tasks.adapters.store.policies import read_policies, save_orders
from tasks.adapters.store.posteriors import read_kinds, read_posteriors

WHO = "recompute-priorities"
KINDS_MAX = 120  # three orders each fit into what a policy holds


async def learn_orders(opened: Runtime, now: datetime | None = None) -> list[PolicyLearning]:
    """Recompute the order of every active policy; store what moved as a new version with reasons.

    Running it twice in an hour changes nothing the second time.
    """
    now = now or datetime.now(UTC)
    policies = [one for one in await read_policies(opened.database) if one.is_active]
    every_check = await read_check(opened.database, None)
    posteriors = await read_posteriors(opened.database, now, every_check)
    seen = await read_kinds(opened.database, now)
    ids = {entry.model_id for policy in policies for entry in policy.models}
    cards = {card.model_id: card for card in await read_cards(opened.database, sorted(ids))}
    return [
        await _learn(opened, policy, posteriors, cards, kinds_of(policy, seen.get(policy.name, ())))
        for policy in policies
    ]


def kinds_of(policy: Policy, seen: Sequence[Kind]) -> tuple[Kind, ...]:
    """Return the kinds of work to order models for: those that have orders, then the frequent ones.

    All work together is one of them: its order serves types that have none of their own.
    """
    ordered = [Kind(one.task_type, one.complexity or ANY) for one in policy.orders]
    kinds = dict.fromkeys([*ordered, Kind(), *seen] if seen else ordered)
    return tuple(kinds)[:KINDS_MAX]


async def _learn(
    opened: Runtime,
    policy: Policy,
    posteriors: Posteriors,
    cards: Mapping[str, ModelCard],
    kinds: Sequence[Kind],
) -> PolicyLearning:
    shown = sorted(kinds)[:KINDS_SHOWN_MAX]
    if policy.learning == "off":
        lines = estimate_lines(policy, posteriors, cards, shown)
        return PolicyLearning(policy.name, policy.version, note="learning is off", lines=lines)
    check, agreements = await _trust(opened, policy)
    made = reordered(policy, posteriors, cards, kinds, check=check, agreements=agreements)
    version, note = policy.version, ""
    if made.moves:
        reason = f"{WHO}: " + "; ".join(made.moves)
        saved = await save_orders(opened.database, policy, made.policy.orders, reason=reason)
        if saved is None:
            note = "was edited meanwhile: left alone until the next time"
        else:
            version = saved
    lines = estimate_lines(made.policy, posteriors, cards, shown)
    return PolicyLearning(policy.name, version, made.moves, note, lines)


async def _trust(opened: Runtime, policy: Policy) -> tuple[Check | None, Agreements]:
    """Return what feedback says of the checks of a policy that escalates, or suggests it."""
    if policy.escalation == "off":
        return None, NO_AGREEMENTS
    check = await read_check(opened.database, policy.name)
    return check, await read_agreements(opened.database, policy.name)
