"""Keys of the HTTP API: what a token looks like, and what its holder may do."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

PREFIX_CHARS = 11  # "sy_" and eight characters that may be shown
TOKEN_START = "sy_"


class Scope(StrEnum):
    """What a key may do; `admin` includes the others."""

    ROUTE = "route"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One stored key: everything but the token, of which only a digest is known."""

    id: UUID
    name: str
    prefix: str
    digest: str
    scopes: frozenset[Scope]
    worker_id: str | None
    requests_per_minute: int | None
    concurrent_max: int | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def opens_with(self, token: str, now: datetime) -> bool:
        """Return whether this token is the key's, and the key is still good."""
        same = hmac.compare_digest(self.digest, token_digest(token))
        in_time = self.expires_at is None or now < self.expires_at
        return same and in_time and self.revoked_at is None

    def document(self) -> dict[str, Any]:
        """Return what may be shown of the key."""
        return {
            "id": self.id,
            "name": self.name,
            "prefix": self.prefix,
            "scopes": sorted(self.scopes),
            "worker_id": self.worker_id,
            "requests_per_minute": self.requests_per_minute,
            "concurrent_max": self.concurrent_max,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "last_used_at": self.last_used_at,
            "revoked_at": self.revoked_at,
        }


def token_prefix(token: str) -> str | None:
    """Return the part that finds the key's row; None for a token of another make."""
    if not token.startswith(TOKEN_START) or len(token) <= PREFIX_CHARS:
        return None
    return token[:PREFIX_CHARS]


def token_digest(token: str) -> str:
    """Return the SHA-256 of a token: with 32 random bytes in it a slow hash protects nothing."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
