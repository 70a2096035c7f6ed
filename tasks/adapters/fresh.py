"""Reads that may be a second old: policies, prices, and how models did lately.

A decision's snapshot stores what it was made from, so a replay is exact either way. What is left
of a budget is never kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from models.policy import Policy
from models.pricing import ModelCard
from tasks.adapters.database import Database
from tasks.adapters.store.canaries import read_serving
from tasks.adapters.store.catalogue import read_cards
from tasks.adapters.store.statistics import recent_statistics

KEEP_S = 1.0
KEPT_MAX = 1000
T = TypeVar("T")


class FreshReads:
    """One process's reads; those who ask for the same at once share one query."""

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self._keep_s = keep_s
        self._kept: dict[Any, tuple[float, asyncio.Future[Any]]] = {}  # Any: what was read

    async def policies(self, database: Database) -> list[Policy]:
        """Return what `read_serving` does."""
        return await self._read("policies", lambda: read_serving(database))

    async def cards(self, database: Database, model_ids: Sequence[str]) -> list[ModelCard]:
        """Return what `read_cards` does."""
        key = ("cards", *model_ids)
        return await self._read(key, lambda: read_cards(database, model_ids))

    async def statistics(
        self, database: Database, model_ids: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Return what `recent_statistics` does."""
        key = ("statistics", *model_ids)
        return await self._read(key, lambda: recent_statistics(database, model_ids))

    def forget(self) -> None:
        """Read everything anew: something was changed here."""
        self._kept.clear()

    async def _read(self, key: Any, query: Callable[[], Awaitable[T]]) -> T:
        now_s = time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now_s - kept[0] < self._keep_s and not _has_failed(kept[1]):
            found: T = await asyncio.shield(kept[1])
            return found
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        reading = asyncio.ensure_future(query())
        self._kept[key] = (now_s, reading)
        return await asyncio.shield(reading)


def _has_failed(reading: asyncio.Future[Any]) -> bool:
    return reading.done() and (reading.cancelled() or reading.exception() is not None)
