"""The price list in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.pricing import ModelCard, TokenPrice
from tasks.adapters.database import Database

SAVE = """
-- Save a card; a price list never goes back in time, so the newer of two racing refreshes stays.
INSERT INTO model_catalogue AS known
    (model_id, provider, prompt_usd, completion_usd, cache_read_usd, cache_write_usd, request_usd,
     image_usd, context_tokens, completion_tokens_max, abilities, source, priced_at,
     suspended_reason, updated_at)
VALUES (%(model_id)s, %(provider)s, %(prompt_usd)s, %(completion_usd)s, %(cache_read_usd)s,
        %(cache_write_usd)s, %(request_usd)s, %(image_usd)s, %(context_tokens)s,
        %(completion_tokens_max)s, %(abilities)s, %(source)s, %(priced_at)s, %(suspended_reason)s,
        now())
ON CONFLICT (model_id) DO UPDATE SET
    provider = excluded.provider, prompt_usd = excluded.prompt_usd,
    completion_usd = excluded.completion_usd, cache_read_usd = excluded.cache_read_usd,
    cache_write_usd = excluded.cache_write_usd, request_usd = excluded.request_usd,
    image_usd = excluded.image_usd, context_tokens = excluded.context_tokens,
    completion_tokens_max = excluded.completion_tokens_max, abilities = excluded.abilities,
    source = excluded.source, priced_at = excluded.priced_at,
    suspended_reason = excluded.suspended_reason, updated_at = now()
WHERE excluded.priced_at >= known.priced_at
"""

SUSPEND_VANISHED = """
-- Models that the newest full list does not name any more keep their last price, suspended.
UPDATE model_catalogue SET suspended_reason = %(reason)s, updated_at = now()
WHERE NOT model_id = ANY(%(listed)s) AND suspended_reason IS NULL
RETURNING model_id
"""

READ = "SELECT * FROM model_catalogue WHERE %(ids)s::text[] IS NULL OR model_id = ANY(%(ids)s)"

AGE = "SELECT max(priced_at) AS priced_at, count(*) AS models FROM model_catalogue"


async def save_cards(database: Database, cards: Sequence[ModelCard]) -> None:
    """Save every card in one transaction."""
    async with database.connection() as connection, connection.transaction():
        await connection.cursor().executemany(SAVE, [_columns(card) for card in cards])


async def suspend_vanished(database: Database, listed: Iterable[str], *, reason: str) -> list[str]:
    """Suspend what the upstream no longer lists; return the ids, sorted."""
    rows = await database.fetch_all(SUSPEND_VANISHED, {"listed": sorted(listed), "reason": reason})
    return sorted(row["model_id"] for row in rows)


async def read_cards(database: Database, model_ids: Iterable[str] | None = None) -> list[ModelCard]:
    """Return the cards of these models, or all, ordered by id."""
    ids = None if model_ids is None else list(model_ids)
    rows = await database.fetch_all(READ, {"ids": ids})
    return sorted((_card(row) for row in rows), key=lambda card: card.model_id)


async def newest_price_at(database: Database) -> datetime | None:
    """Return when the newest price was read, or None with an empty catalogue."""
    newest: datetime | None = (await database.fetch_all(AGE, {}))[0]["priced_at"]
    return newest


def _columns(card: ModelCard) -> dict[str, object]:
    price = card.price
    return {
        "model_id": card.model_id,
        "provider": card.provider,
        "prompt_usd": price and price.prompt_usd,
        "completion_usd": price and price.completion_usd,
        "cache_read_usd": price and price.cache_read_usd,
        "cache_write_usd": price and price.cache_write_usd,
        "request_usd": price and price.request_usd,
        "image_usd": price and price.image_usd,
        "context_tokens": card.context_tokens,
        "completion_tokens_max": card.completion_tokens_max,
        "abilities": sorted(card.abilities),
        "source": card.source,
        "priced_at": card.priced_at,
        "suspended_reason": card.suspended_reason,
    }


def _card(row: dict[str, Any]) -> ModelCard:
    return ModelCard(
        model_id=row["model_id"],
        provider=row["provider"],
        price=_price(row),
        context_tokens=row["context_tokens"],
        completion_tokens_max=row["completion_tokens_max"],
        abilities=frozenset(row["abilities"]),
        source=row["source"],
        priced_at=row["priced_at"],
        suspended_reason=row["suspended_reason"],
    )


def _price(row: dict[str, Any]) -> TokenPrice | None:
    if row["prompt_usd"] is None or row["completion_usd"] is None:
        return None
    return TokenPrice(
        prompt_usd=_short(row["prompt_usd"]),
        completion_usd=_short(row["completion_usd"]),
        cache_read_usd=row["cache_read_usd"] and _short(row["cache_read_usd"]),
        cache_write_usd=row["cache_write_usd"] and _short(row["cache_write_usd"]),
        request_usd=_short(row["request_usd"] or Decimal(0)),
        image_usd=_short(row["image_usd"] or Decimal(0)),
    )


def _short(amount: Decimal) -> Decimal:
    """Drop the zeros that NUMERIC(20, 15) pads, so that a snapshot reads well."""
    return amount.normalize()
