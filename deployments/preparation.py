"""What a database needs before the first request: schema, prices, default policies."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from models.default_policies import default_policies
from tasks.adapters.catalogue import refresh_catalogue
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.runtime import Runtime, open_runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store import catalogue, policies

REFRESH_AFTER = timedelta(hours=12)  # half of the age at which prices are refused as stale


async def prepare(settings: Settings) -> None:
    """Bring the schema up to date and fill what is missing; does nothing when all is there."""
    await asyncio.to_thread(upgrade_database, settings.database_dsn)
    async with open_runtime(settings) as opened:
        await opened.ledger.sweep()
        await refresh_prices(opened)
        await _seed_policies(opened)


async def refresh_prices(opened: Runtime) -> None:
    """Read the price list again when the stored one is getting old."""
    newest = await catalogue.newest_price_at(opened.database)
    if newest is None or datetime.now(UTC) - newest > REFRESH_AFTER:
        await refresh_catalogue(opened, now=datetime.now(UTC))


async def _seed_policies(opened: Runtime) -> None:
    cards = await catalogue.read_cards(opened.database)
    listed = {card.model_id for card in cards if card.suspended_reason is None}
    await policies.seed_policies(opened.database, default_policies(listed))
