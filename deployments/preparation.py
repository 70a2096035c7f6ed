"""What a database needs before the first request: schema, prices, default policies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from models.default_policies import default_policies
from models.errors import SchemaOutdated
from tasks.adapters.catalogue import refresh_catalogue
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.runtime import Runtime, open_runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store import catalogue, policies

REFRESH_AFTER = timedelta(hours=12)  # half of the age at which prices are refused as stale


@contextlib.asynccontextmanager
async def prepared_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Open the runtime over a database that is ready: newest schema, prices, default policies."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            opened = await stack.enter_async_context(open_runtime(settings))
        except SchemaOutdated:
            await asyncio.to_thread(upgrade_database, settings.database_dsn)
            opened = await stack.enter_async_context(open_runtime(settings))
        await opened.ledger.sweep()
        await refresh_prices(opened)
        await _seed_policies(opened)
        yield opened


async def refresh_prices(opened: Runtime) -> None:
    """Read the price list again when the stored one is getting old."""
    newest = await catalogue.newest_price_at(opened.database)
    if newest is None or datetime.now(UTC) - newest > REFRESH_AFTER:
        await refresh_catalogue(opened, now=datetime.now(UTC))


async def _seed_policies(opened: Runtime) -> None:
    cards = await catalogue.read_cards(opened.database)
    listed = {card.model_id for card in cards if card.suspended_reason is None}
    await policies.seed_policies(opened.database, default_policies(listed))
