"""Which policy serves a request: asked for, claimed by its task type, or `normal`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.errors import NotFound
from models.policy.content import Policy

FALLBACK_POLICY = "normal"  # serves what no policy claims
ASKED_FOR = "asked for"


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """The policy that serves a request, and why."""

    policy: Policy
    reason: str


def policy_for(
    task_type: str, policies: Sequence[Policy], requested: str | None = None
) -> PolicyChoice:
    """Return the policy that was asked for, else the one that claims the type, else `normal`.

    Versions on trial are passed over: `models/canary.py` puts them in place of the chosen one.
    Raises NotFound when the requested policy is unknown or inactive, and when nothing is left.
    """
    if requested is not None:
        return PolicyChoice(_requested(policies, requested), f"policy {requested}: {ASKED_FOR}")
    active = [policy for policy in policies if policy.is_active and policy.canary_share is None]
    for policy in active:
        if task_type in policy.task_types:
            return PolicyChoice(policy, f"policy {policy.name}: serves {task_type}")
    for policy in active:
        if policy.name == FALLBACK_POLICY:
            reason = f"policy {FALLBACK_POLICY}: no active policy claims task type {task_type!r}"
            return PolicyChoice(policy, reason)
    raise NotFound(
        f"no active policy serves task type {task_type!r}, and there is no active policy"
        f" {FALLBACK_POLICY!r} to fall back to"
    )


def was_asked_for(reason: str) -> bool:
    """Say whether a choice's reason is that the request named the policy."""
    return reason.partition(": ")[2].startswith(ASKED_FOR)


def _requested(policies: Sequence[Policy], name: str) -> Policy:
    for policy in policies:
        if policy.name == name and policy.is_active:
            return policy
        if policy.name == name:
            raise NotFound(f"policy {name!r} is inactive")
    known = ", ".join(sorted(policy.name for policy in policies)) or "none"
    raise NotFound(f"there is no policy {name!r}; known: {known}")


def claim_problems(policies: Iterable[Policy]) -> tuple[str, ...]:
    """Return one line per task type that two active policies claim, to be refused at apply."""
    claims: defaultdict[str, list[str]] = defaultdict(list)
    for policy in policies:
        for task_type in policy.task_types if policy.is_active else ():
            claims[task_type].append(policy.name)
    return tuple(
        f"task type {task_type!r} is claimed by {len(names)} active policies: {', '.join(names)}"
        for task_type, names in sorted(claims.items())
        if len(names) > 1
    )
