"""A stored snapshot with another policy in it: what `select` is asked again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID

from models.learning.chain_orders import starting_chain
from models.policy import Policy, PolicyChoice, policy_for
from models.policy.routing import was_asked_for
from models.pricing import ModelCard
from models.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Change:
    """The policies as they would be, and the names of those that are new or different."""

    policies: Sequence[Policy]
    changed: Collection[str]

    def choice(self, snapshot: Snapshot) -> PolicyChoice:
        """Return the policy that would serve a recorded request.

        One that the change neither takes from its policy nor gives to another keeps the policy and
        version it had. Raises NotFound where none would serve it.
        """
        recorded = snapshot.policy.name
        if was_asked_for(snapshot.policy_reason):
            if recorded not in self.changed:
                return PolicyChoice(snapshot.policy, snapshot.policy_reason)
            return policy_for(snapshot.classification.task_type, self.policies, recorded)
        found = policy_for(snapshot.classification.task_type, self.policies)
        if found.policy.name in self.changed or recorded in self.changed:
            return found
        return PolicyChoice(snapshot.policy, snapshot.policy_reason)


def change_of(present: Iterable[Policy], wanted: Iterable[Policy]) -> Change:
    """Return the change that applying the wanted policies makes."""
    before = {policy.name: policy for policy in present}
    after = before | {policy.name: policy for policy in wanted}
    changed = {name for name, policy in after.items() if differs(before.get(name), policy)}
    return Change(tuple(after.values()), frozenset(changed))


def differs(before: Policy | None, after: Policy) -> bool:
    """Say whether applying a policy would make a new version."""
    if before is None:
        return True
    return (before.stored(), before.is_active) != (after.stored(), after.is_active)


def swapped(
    snapshot: Snapshot, choice: PolicyChoice, prices: Mapping[str, ModelCard], decision_id: UUID
) -> tuple[Snapshot, bool]:
    """Return the snapshot under another policy, and whether prices of today stand in.

    A model that the recorded decision did not look at has today's prices, as if they had been read
    then. The draw is a new one: the recorded draw made the recorded choice, and a policy that
    explores must not be judged by the very chance that it is compared with.
    """
    cards, missing = list(snapshot.cards), False
    known = {card.model_id for card in cards}
    if snapshot.features.model is None:
        for entry in choice.policy.ordered_models():
            if entry.model_id not in known and entry.model_id in prices:
                cards.append(replace(prices[entry.model_id], priced_at=snapshot.now))
                missing = True
    by_id = {card.model_id: card for card in cards}
    kind, features = snapshot.classification, snapshot.features
    made = replace(
        snapshot,
        policy=choice.policy,
        policy_reason=choice.reason,
        cards=tuple(cards),
        draw=_fresh_draw(decision_id),
        starting_chain=starting_chain(choice.policy, by_id, kind, features),
    )
    return made, missing


def _fresh_draw(decision_id: UUID) -> float:
    digest = sha256(b"backtest:" + decision_id.bytes).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
