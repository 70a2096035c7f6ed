"""Who calls: bearer keys and their scopes."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from deployments.api.problems import ApiProblem
from models.api_key import ApiKey, Scope, token_digest, token_prefix
from tasks.adapters.database import Database
from tasks.adapters.store.keys import find_key, note_key_used

CACHE_S = 5.0  # how long a revoked key may still work in this process
CACHED_MAX = 10_000
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="switchyard"'}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and what that caller may do."""

    name: str
    scopes: frozenset[Scope]
    worker_id: str | None = None
    key_id: UUID | None = None
    requests_per_minute: int | None = None
    concurrent_max: int | None = None

    @property
    def tenant(self) -> str | None:
        """Whose cached answers it may get; the same through every rotation of the key."""
        if self.key_id is not None:
            return str(self.key_id)
        return None if self is LOCAL else self.name

    def demand(self, scope: Scope) -> None:
        """Raise 403 unless the caller has the scope; `admin` has every one."""
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            raise ApiProblem(403, f"this key has not the scope {scope.value!r}")


ADMIN = Principal("admin", frozenset(Scope))
LOCAL = Principal("local", frozenset(Scope))


class KeyRing:
    """Knows the admin key and the database's keys; a look-up is kept for a few seconds."""

    def __init__(self, database: Database, admin_key: str | None, *, open_to_all: bool) -> None:
        self._database = database
        self._admin = None if admin_key is None else token_digest(admin_key)
        self._open_to_all = open_to_all and admin_key is None
        self._known: dict[str, tuple[float, ApiKey | None]] = {}

    def __repr__(self) -> str:
        return "KeyRing()"

    @property
    def open_to_all(self) -> bool:
        """Whether callers without a key are let in."""
        return self._open_to_all

    async def principal(self, authorization: str | None) -> Principal:
        """Return who sends this header; raises 401.

        Open to all, as on loopback without an admin key, any caller is the local one; but a token
        of our make must be good even there.
        """
        token = _bearer(authorization)
        if token is not None:
            if self._admin is not None and hmac.compare_digest(self._admin, token_digest(token)):
                return ADMIN
            prefix = token_prefix(token)
            if prefix is not None:
                return await self._by_key(prefix, token)
        if self._open_to_all:
            return LOCAL
        raise ApiProblem(401, _why_refused(token), headers=CHALLENGE)

    async def _by_key(self, prefix: str, token: str) -> Principal:
        key = await self._key(prefix)
        if key is None or not key.opens_with(token, datetime.now(UTC)):
            raise ApiProblem(401, _why_refused(token), headers=CHALLENGE)
        return Principal(
            key.name,
            key.scopes,
            key.worker_id,
            key.id,
            key.requests_per_minute,
            key.concurrent_max,
        )

    async def _key(self, prefix: str) -> ApiKey | None:
        now_s = time.monotonic()
        known = self._known.get(prefix)
        if known is not None and now_s - known[0] < CACHE_S:
            return known[1]
        key = await find_key(self._database, prefix)
        if len(self._known) >= CACHED_MAX:  # somebody tries tokens: forget them all
            self._known.clear()
        self._known[prefix] = (now_s, key)
        if key is not None:
            await note_key_used(self._database, key.id)
        return key


def _bearer(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _why_refused(token: str | None) -> str:
    return "send Authorization: Bearer KEY" if token is None else "this key is not accepted"
