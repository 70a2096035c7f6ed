"""Keep the price list fresh: from the upstream, else from the well-kept library genai-prices."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from models.default_policies import model_ids_in_use
from models.errors import UpstreamFailed
from models.pricing import ModelCard
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.catalogue import read_cards, save_cards, suspend_vanished
from tasks.adapters.store.policies import read_policies

KEEP_FOR = timedelta(hours=12)  # an upstream that fails for a moment keeps its own prices
VANISHED = "the upstream does not list it any more"
logger = logging.getLogger("switchyard.catalogue")


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a refresh did: where prices came from, which models are new, dearer or gone."""

    source: str
    models: int
    added: tuple[str, ...]
    repriced: tuple[str, ...]
    suspended: tuple[str, ...]


async def refresh_catalogue(opened: Runtime, *, now: datetime) -> Refresh:
    """Read the upstream's list and save it; models that vanished from it are suspended.

    An upstream without a price list (any other OpenAI-compatible one, or one that does not answer)
    is priced by genai-prices, for the models that policies name; then nothing is suspended.
    """
    before = {card.model_id: card for card in await read_cards(opened.database)}
    cards, source = await _listed(opened), "upstream"
    suspended: list[str] = []
    if cards:
        await save_cards(opened.database, cards)
        listed = [card.model_id for card in cards]
        suspended = await suspend_vanished(opened.database, listed, reason=VANISHED)
    else:
        # The data library takes 0.4 s to load, and a real upstream never needs it.
        from tasks.adapters.openrouter.offline import offline_cards

        source = "genai-prices"
        fresh = {card_id for card_id, card in before.items() if now - card.priced_at < KEEP_FOR}
        wanted = [model_id for model_id in await _named_models(opened) if model_id not in fresh]
        # read now is priced now: max_price, sent with every call, keeps an old price a bound
        cards = [replace(card, priced_at=now) for card in offline_cards(wanted, now)]
        await save_cards(opened.database, cards)
    return Refresh(
        source=source,
        models=len(cards),
        added=tuple(card.model_id for card in cards if card.model_id not in before),
        repriced=tuple(card.model_id for card in cards if _is_repriced(card, before)),
        suspended=tuple(suspended),
    )


async def _listed(opened: Runtime) -> list[ModelCard]:
    """Return the upstream's cards, or none when it has no list with prices."""
    try:
        cards = await opened.upstream.models()
    except UpstreamFailed as failure:
        logger.warning("no price list from the upstream (%s): using genai-prices", failure)
        return []
    return cards if any(card.price is not None for card in cards) else []


async def _named_models(opened: Runtime) -> list[str]:
    policies = await read_policies(opened.database)
    named = {entry.model_id for policy in policies for entry in policy.models}
    return sorted(named | set(model_ids_in_use()))


def _is_repriced(card: ModelCard, before: dict[str, ModelCard]) -> bool:
    known = before.get(card.model_id)
    return known is not None and known.price != card.price
