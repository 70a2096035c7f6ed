"""Whether parked work would be taken now, by the same selection that parked it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from models.money import ZERO_USD
from models.policy import Policy
from models.pricing import ModelCard
from models.selection import select
from models.snapshot import BudgetRoom, Snapshot, from_document
from models.waiting import Waiting
from tasks.adapters.runtime import Runtime
from tasks.adapters.snapshots import budget_room
from tasks.adapters.store.catalogue import read_cards
from tasks.adapters.store.policies import read_policies

Scope = tuple[str, str | None, UUID | None, tuple[str, ...]]


class HeadRoom:
    """The money left, read once per scope in a sweep, less what this sweep has promised."""

    def __init__(self, opened: Runtime) -> None:
        self._opened = opened
        self._policies: dict[str, Policy] | None = None
        self._rooms: dict[Scope, list[BudgetRoom]] = {}
        self._cards: dict[tuple[str, ...], tuple[ModelCard, ...]] = {}
        self._promised: dict[str, Decimal] = defaultdict(lambda: ZERO_USD)

    async def takes(self, row: Waiting) -> bool:
        """Say whether the row's first attempt fits now, and promise it the money if so."""
        if row.snapshot is None:
            return True
        snapshot = await self._now(row, from_document(row.snapshot))
        plan = select(snapshot)
        if plan.refusal is not None:
            return False
        for room in snapshot.budgets:
            self._promised[room.name] += plan.candidates[0].worst_case_usd
        return True

    async def _now(self, row: Waiting, then: Snapshot) -> Snapshot:
        policy = (await self._newest_policies()).get(then.policy.name, then.policy)
        asked = then.features.model
        models = tuple([asked] if asked else [m.model_id for m in policy.ordered_models()])
        rooms = await self._room((policy.name, row.worker_id, row.task_id, models))
        return replace(
            then,
            policy=policy,
            cards=await self._priced(models),
            statistics=(),  # a model that rests is no lack of money: its run will see
            budgets=tuple(
                replace(room, reserved_usd=room.reserved_usd + self._promised[room.name])
                for room in rooms
            ),
            now=datetime.now(UTC),
        )

    async def _newest_policies(self) -> dict[str, Policy]:
        if self._policies is None:
            found = await read_policies(self._opened.database)
            self._policies = {policy.name: policy for policy in found}
        return self._policies

    async def _room(self, scope: Scope) -> list[BudgetRoom]:
        if scope not in self._rooms:
            policy, worker_id, task_id, models = scope
            states = await self._opened.ledger.head_room(
                policy=policy, worker_id=worker_id, task_id=task_id, model_ids=models
            )
            self._rooms[scope] = [budget_room(state) for state in states]
        return self._rooms[scope]

    async def _priced(self, models: tuple[str, ...]) -> tuple[ModelCard, ...]:
        if models not in self._cards:
            self._cards[models] = tuple(await read_cards(self._opened.database, models))
        return self._cards[models]
