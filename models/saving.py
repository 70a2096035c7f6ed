"""What a decision is measured against: the model that would have answered without any routing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.money import plain
from models.plan import Plan
from models.pricing import TokenPrice
from models.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class FirstChoice:
    """The policy's first model, or the one that the request names, at its price of that moment.

    `price` is None where the catalogue had none; then no saving is claimed.
    """

    model_id: str
    price: dict[str, Any] | None
    escalates: bool


def first_choice(snapshot: Snapshot, plan: Plan) -> FirstChoice:
    """Return what the savings of a decision with this plan are measured against."""
    model_id = snapshot.features.model or snapshot.policy.ordered_models()[0].model_id
    prices = [card.price for card in snapshot.cards if card.model_id == model_id]
    price = prices[0] if prices else None
    return FirstChoice(
        model_id,
        None if price is None else price_document(price),
        escalates=plan.escalates,
    )


def price_document(price: TokenPrice) -> dict[str, Any]:
    """Return a price per token as it is stored with a decision: decimal strings."""
    read = price.cache_read_usd
    return {
        "prompt_usd": plain(price.prompt_usd),
        "completion_usd": plain(price.completion_usd),
        "cache_read_usd": None if read is None else plain(read),
        "request_usd": plain(price.request_usd),
    }
