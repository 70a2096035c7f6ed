"""One choice of models for all lines of a group, made anew when it does not serve any more."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from models.batch import GroupKey
from models.decision import Arrival
from models.plan import Plan
from models.saving import first_choice
from models.selection import select
from models.snapshot import Snapshot
from tasks.adapters.runtime import Runtime
from tasks.adapters.snapshots import read_snapshot
from tasks.adapters.store import decisions as store

GROUPS_MAX = 256
FAILURES_MAX = 3
REFUSAL_STANDS_S = 1.0
CHOICE_STANDS_S = 15 * 60.0  # prices and health move; a batch may run for hours


@dataclass(frozen=True, slots=True)
class Choice:
    """A selection that many decisions share; it is stored with the leader's."""

    snapshot: Snapshot
    plan: Plan
    leader_id: UUID
    made_s: float

    def plan_for(self, arrival: Arrival) -> Plan:
        """Return the plan with the line's own class among its reasons."""
        if arrival.decision_id == self.leader_id:
            return self.plan
        own = (arrival.classification.reason(), arrival.policy_reason)
        shared = f"chosen for its group, with decision {self.leader_id}"
        return replace(self.plan, reasons=(*own, shared, *self.plan.reasons[2:]))

    def is_fresh_refusal(self) -> bool:
        """Say whether the money was asked for just now, in vain."""
        return self.plan.refusal is not None and self._age_s() < REFUSAL_STANDS_S

    def is_old(self) -> bool:
        """Say whether prices and health should be looked at again."""
        return self._age_s() > CHOICE_STANDS_S

    def _age_s(self) -> float:
        return time.monotonic() - self.made_s


@dataclass(slots=True)
class Group:
    """Lines that share a choice, and how its first model does for them."""

    key: GroupKey
    choice: Choice
    failures: int = 0
    is_stale: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def note_answer(self, model_id: str) -> None:
        """Note that a model answered; a fallback's answer says nothing about the first one."""
        if self._is_first(model_id):
            self.failures = 0

    def note_failure(self, model_id: str) -> None:
        """Note a failure; when the first model keeps failing another choice is due."""
        if self._is_first(model_id):
            self.failures += 1
            self.is_stale = self.is_stale or self.failures >= FAILURES_MAX

    def _is_first(self, model_id: str) -> bool:
        candidates = self.choice.plan.candidates
        return bool(candidates) and candidates[0].model_id == model_id

    def note_refusal(self, choice: Choice) -> None:
        """Note that a choice did not fit the money."""
        self.is_stale = self.is_stale or choice is self.choice

    def note_lost(self, decision_id: UUID) -> None:
        """Note that a decision was not opened: a choice that it led is stored nowhere."""
        self.is_stale = self.is_stale or self.choice.leader_id == decision_id


class Groups:
    """The groups of one batch run; those not used for longest are forgotten."""

    def __init__(self, opened: Runtime) -> None:
        self._opened = opened
        self._groups: OrderedDict[GroupKey, Group] = OrderedDict()

    async def group_of(self, key: GroupKey, arrival: Arrival) -> Group:
        """Return the group; of a new one this arrival is the leader, which stores the choice."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, await self._choose(key, arrival))
        self._groups.move_to_end(key)
        while len(self._groups) > GROUPS_MAX:
            self._groups.popitem(last=False)
        return group

    async def choice_for(self, group: Group, arrival: Arrival) -> Choice:
        """Return the group's choice; a new one, led and stored by this arrival, when it is due."""
        if not (group.is_stale or group.choice.is_old()):
            return group.choice
        async with group.lock:
            if group.is_stale or group.choice.is_old():
                choice = await self._choose(group.key, arrival)
                await self._store(choice, arrival)
                group.choice, group.is_stale, group.failures = choice, False, 0
        return group.choice

    async def _choose(self, key: GroupKey, arrival: Arrival) -> Choice:
        snapshot = await read_snapshot(self._opened, arrival)
        snapshot = replace(snapshot, features=key.features)
        return Choice(snapshot, select(snapshot), arrival.decision_id, time.monotonic())

    async def _store(self, choice: Choice, arrival: Arrival) -> None:
        policy = choice.snapshot.policy
        await store.store_plan(
            self._opened.database,
            arrival.decision_id,
            policy=policy.name,
            policy_version=policy.version,
            snapshot=choice.snapshot.document(),
            plan=choice.plan.document(),
            first=first_choice(choice.snapshot, choice.plan),
            request=request_document(arrival),
        )


def request_document(arrival: Arrival) -> dict[str, Any]:
    """Return the request as it is stored with a decision."""
    return arrival.request.model_dump(mode="json", exclude_none=True, exclude_unset=True)
