"""Which models may be asked at all, before the money is looked at: each exclusion with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from models.fit import ONE, Asked, Demand, answer_room, asked_by
from models.money import plain
from models.plan import Considered, OutKind, out
from models.policy import Policy
from models.pricing import ModelCard, TokenPrice
from models.snapshot import BudgetRoom, ModelStatistics, Snapshot
from models.tokens import image_tokens_bound

PRICE_AGE_MAX = timedelta(hours=24)  # docs/ledger.md, fail closed


@dataclass(slots=True)
class Field:
    """Everything of a snapshot that is the same for each of its models."""

    snapshot: Snapshot
    asked: Asked
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
    shared, per_model = [], []
    for room in snapshot.budgets:
        if room.budget_type == "model":
            per_model.append(room)
        elif _covers(room, snapshot):
            shared.append(room)
    needed = (*snapshot.features.abilities, *snapshot.policy.required_abilities)
    return Field(
        snapshot=snapshot,
        asked=asked_by(snapshot),
        shared_budgets=tuple(shared),
        model_budgets=tuple(per_model),
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


def examine(field: Field, model_id: str) -> Demand | Considered:
    """Return the model with what is asked of it, or why it is out; money left is not looked at."""
    card = field.cards.get(model_id)
    if card is None:
        return out(model_id, OutKind.NONE_ACTIVE, "not in the price list")
    if card.suspended_reason is not None:
        return out(model_id, OutKind.NONE_ACTIVE, f"suspended: {card.suspended_reason}")
    if card.price is None:
        return out(model_id, OutKind.PRICE, "no known price")
    if card.priced_at < field.oldest_price_at:
        age_h = (field.snapshot.now - card.priced_at) / timedelta(hours=1)
        reason = f"the price list is {age_h:.0f} h old, more than 24 h: refresh the catalogue"
        return out(model_id, OutKind.PRICE, reason)
    if not field.abilities <= card.abilities:
        missing = ", ".join(sorted(field.abilities - card.abilities))
        return out(model_id, OutKind.ABILITY, f"cannot do {missing}")
    return _priced(field, card, card.price)


def _priced(field: Field, card: ModelCard, price: TokenPrice) -> Demand | Considered:
    model_id, asked, image_tokens = card.model_id, field.asked, 0
    if asked.images:
        image_tokens = image_tokens_bound(
            model_id, images=asked.images, images_low=asked.images_low
        )
    room = answer_room(card, asked, image_tokens)
    if room < asked.tokens_floor:
        reason = (
            f"context of {card.context_tokens or 0:,} tokens too small: a prompt of up to"
            f" {asked.text_tokens + image_tokens:,} tokens leaves less than"
            f" {asked.tokens_floor} to answer"
        )
        return out(model_id, OutKind.CONTEXT, reason)
    found = field.statistics.get(model_id)
    ratio = ONE if found is None or found.elastic_ratio >= ONE else found.elastic_ratio
    budgets = field.budgets_of(model_id)
    demand = Demand(card, price, asked, image_tokens, room, ratio, budgets, found)
    if not budgets and demand.full_usd > 0:
        return out(model_id, OutKind.NO_BUDGET, "no active budget covers a paid call")
    return _pause(field.snapshot.policy, demand) or demand


def _pause(policy: Policy, demand: Demand) -> Considered | None:
    """Return why an expensive model pauses and until when, or None."""
    share, expensive = policy.pause_above, policy.expensive_above_usd
    if share is None or expensive is None or (full_usd := demand.full_usd) <= expensive:
        return None
    for room in demand.budgets:
        used = room.spent_usd + room.reserved_usd
        if used >= share * room.amount_usd:
            reason = (
                f"paused: ${plain(used)} of ${plain(room.amount_usd)} in {room.name} are used,"
                f" and its worst case ${plain(full_usd)} is above ${plain(expensive)}"
            )
            return out(demand.model_id, OutKind.PAUSED, reason, room.period_end)
    return None
