"""Verified escalation of one request: which chain is for it, and whether the policy follows it.

A chain relies on its check: a request without one is never served by a chain of an `accept` check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from models.attempt import Candidate
from models.features import TOOLS, RequestFeatures
from models.plan import PlannedChain
from models.policy import EscalationCheck, LearnedOrder, Policy
from models.snapshot import Snapshot

PRIORS = "public priors"


class Escalation(NamedTuple):
    """A chain for a request; `source` says whether outcomes or priors advise it."""

    order: LearnedOrder
    source: str
    is_wanted: bool

    def planned(self, snapshot: Snapshot, *, is_followed: bool) -> PlannedChain:
        """Return what the plan says of the chain."""
        return PlannedChain(
            check=self.order.check or "accept",
            models=self.order.models,
            is_followed=is_followed,
            source=self.source,
            ceiling_usd=snapshot.task_cap_usd,
            ceiling_s=snapshot.policy.escalation_max_s,
            brings=self.order.brings,
        )

    def note(self) -> str:
        """Return the chain in words, for a plan that does not follow it."""
        why = (
            "its steps cannot all be asked" if self.is_wanted else "the policy only suggests chains"
        )
        return f"chain not followed, {why}; {self.order.note(self.source)}"

    def stands(self, candidates: Sequence[Candidate]) -> bool:
        """Say whether enough steps are planned: two with a check, of an agreement all three."""
        planned = [one.model_id for one in candidates]
        steps = [name for name in self.order.models if name in planned]
        needed = 3 if self.order.check == "agreement" else 2
        return len(steps) >= needed and planned[: len(steps)] == steps


def check_for(policy: Policy, features: RequestFeatures) -> EscalationCheck | None:
    """Return what may decide about an answer's acceptance; None: no chain is for this request.

    Two answers are compared only where there is one text to compare: no tools, no several answers.
    """
    if policy.escalation == "off" or features.model is not None:
        return None
    if features.checked:
        return "accept"
    has_one_text = features.answers == 1 and TOOLS not in features.abilities
    return "agreement" if policy.escalation_check == "agreement" and has_one_text else None


def escalation_of(snapshot: Snapshot) -> Escalation | None:
    """Return the chain for the snapshot's request, learned or else the one to start with."""
    check = check_for(snapshot.policy, snapshot.features)
    if check is None:
        return None
    kind, policy = snapshot.classification, snapshot.policy
    order, source = policy.chain_order_for(kind.task_type, kind.complexity, check), "learned"
    if order is None:
        order, source = snapshot.starting_chain, PRIORS
    if order is None or order.check != check or not order.escalates:
        return None
    return Escalation(order, source, policy.escalation == "on")
