"""Which rate limits there are, so that a call under none pays no round trip for them."""

from __future__ import annotations

import asyncio
import hashlib
import time

from models.rate_limit import EVERY_CALL, FREE_CALLS
from tasks.adapters.database import Database
from tasks.adapters.settings import Settings
from tasks.adapters.store import limits as store

KEEP_S = 0.25  # so soon every process knows of a limit that is new; its state is never kept


class KnownLimits:
    """The scopes that have a limit now, for this process's upstream key."""

    def __init__(self, database: Database, account: str) -> None:
        self.account = account
        self._database = database
        self._read_at_s = -KEEP_S
        self._scopes: asyncio.Task[frozenset[str]] | None = None

    async def concern(self, model_id: str) -> bool:
        """Say whether calls of this model are under a limit; at most a quarter second old."""
        now_s = time.monotonic()
        if self._scopes is None or now_s - self._read_at_s >= KEEP_S:
            self._read_at_s = now_s
            self._scopes = asyncio.create_task(store.limited_scopes(self._database, self.account))
        scopes = await asyncio.shield(self._scopes)
        if EVERY_CALL in scopes or model_id in scopes:
            return True
        return FREE_CALLS in scopes and model_id.endswith(":free")

    def forget(self) -> None:
        """Read anew before the next call: something was changed here."""
        self._read_at_s = -KEEP_S


def account_of(settings: Settings) -> str:
    """Return a fingerprint of the upstream and its key, neither of which can be found from it.

    The simulator is one account, whatever its port is today.
    """
    if settings.simulated:
        return "simulated"
    text = f"{settings.upstream_url}\0{settings.api_key or ''}".encode()
    return hashlib.blake2b(text, digest_size=12).hexdigest()
