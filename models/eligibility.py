"""Which models may be asked at all, before the money is looked at: each exclusion with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from models.fit import ONE, Demand, demand_on
from models.money import plain
from models.plan import OutKind
from models.pricing import ModelCard, TokenPrice
from models.snapshot import BudgetRoom, ModelStatistics, Snapshot

PRICE_AGE_MAX = timedelta(hours=24)  # docs/ledger.md, fail closed


@dataclass(slots=True)
class Out:
    """A model that is not asked; `returns_at` is when money may change that, at the latest."""

    model_id: str
    kind: OutKind
    reason: str
    returns_at: datetime | None = None


@dataclass(slots=True)
class Eligible:
    """A model that may be asked if the money suffices, with the budgets that cover it."""

    demand: Demand
    budgets: tuple[BudgetRoom, ...]
    statistics: ModelStatistics | None

    @property
    def model_id(self) -> str:
        """The model's id."""
        return self.demand.card.model_id

    def circuit_open_until(self, now: datetime) -> datetime | None:
        """Return until when the model must rest, None when it need not."""
        until = self.statistics.circuit_open_until if self.statistics is not None else None
        return until if until is not None and until > now else None


@dataclass(slots=True)
class Field:
    """Everything of a snapshot that is the same for each of its models."""

    snapshot: Snapshot
    shared_budgets: tuple[BudgetRoom, ...]
    model_budgets: tuple[BudgetRoom, ...]
    abilities: frozenset[str]
    cards: dict[str, ModelCard]
    statistics: dict[str, ModelStatistics]
    oldest_price_at: datetime

    def budgets_of(self, model_id: str) -> tuple[BudgetRoom, ...]:
        """Return the budgets that a call of this model is paid from."""
        if not self.model_budgets:
            return self.shared_budgets
        own = tuple(room for room in self.model_budgets if room.scope_key in ("*", model_id))
        return self.shared_budgets + own


def field_of(snapshot: Snapshot) -> Field:
    """Return the shared part of the snapshot."""
    covering = [room for room in snapshot.budgets if _covers(room, snapshot)]
    needed = (*snapshot.features.abilities, *snapshot.policy.required_abilities)
    return Field(
        snapshot=snapshot,
        shared_budgets=tuple(room for room in covering if room.budget_type != "model"),
        model_budgets=tuple(room for room in covering if room.budget_type == "model"),
        abilities=frozenset(needed),
        cards={card.model_id: card for card in snapshot.cards},
        statistics={found.model_id: found for found in snapshot.statistics},
        oldest_price_at=snapshot.now - PRICE_AGE_MAX,
    )


def _covers(room: BudgetRoom, snapshot: Snapshot) -> bool:
    if room.scope_key == "*":
        return True
    if room.budget_type == "policy":
        return room.scope_key == snapshot.policy.name
    if room.budget_type == "worker":
        return room.scope_key == snapshot.features.worker_id
    return True


def examine(field: Field, model_id: str) -> Eligible | Out:
    """Return the model with what is asked of it, or why it is out; money left is not looked at."""
    card = field.cards.get(model_id)
    if card is None:
        return Out(model_id, OutKind.NONE_ACTIVE, "not in the price list")
    if card.suspended_reason is not None:
        return Out(model_id, OutKind.NONE_ACTIVE, f"suspended: {card.suspended_reason}")
    if card.price is None:
        return Out(model_id, OutKind.PRICE, "no known price")
    if card.priced_at < field.oldest_price_at:
        age_h = (field.snapshot.now - card.priced_at) / timedelta(hours=1)
        reason = f"the price list is {age_h:.0f} h old, more than 24 h: refresh the catalogue"
        return Out(model_id, OutKind.PRICE, reason)
    if not field.abilities <= card.abilities:
        missing = ", ".join(sorted(field.abilities - card.abilities))
        return Out(model_id, OutKind.ABILITY, f"cannot do {missing}")
    return _priced(field, card, card.price)


def _priced(field: Field, card: ModelCard, price: TokenPrice) -> Eligible | Out:
    statistics = field.statistics.get(card.model_id)
    ratio = ONE if statistics is None else min(ONE, statistics.elastic_ratio)
    demand = demand_on(card, price, field.snapshot, ratio)
    if demand.max_tokens < demand.tokens_floor:
        reason = (
            f"context of {card.context_tokens or 0:,} tokens too small: a prompt of up to"
            f" {demand.prompt_tokens:,} tokens leaves less than {demand.tokens_floor} to answer"
        )
        return Out(card.model_id, OutKind.CONTEXT, reason)
    budgets = field.budgets_of(card.model_id)
    if not budgets and demand.full_usd > 0:
        reason = "no active budget covers a paid call"
        return Out(card.model_id, OutKind.NO_BUDGET, reason)
    paused = _pause(field.snapshot, demand, budgets)
    return Eligible(demand, budgets, statistics) if paused is None else paused


def _pause(snapshot: Snapshot, demand: Demand, budgets: tuple[BudgetRoom, ...]) -> Out | None:
    """Return why an expensive model pauses and until when, or None."""
    share, expensive = snapshot.policy.pause_above, snapshot.policy.expensive_above_usd
    if share is None or expensive is None or (full_usd := demand.full_usd) <= expensive:
        return None
    for room in budgets:
        used = room.spent_usd + room.reserved_usd
        if used >= share * room.amount_usd:
            reason = (
                f"paused: ${plain(used)} of ${plain(room.amount_usd)} in {room.name} are used,"
                f" and its worst case ${plain(full_usd)} is above ${plain(expensive)}"
            )
            return Out(demand.card.model_id, OutKind.PAUSED, reason, room.period_end)
    return None
