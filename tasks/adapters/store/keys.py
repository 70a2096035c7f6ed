"""Keys of the HTTP API in the database; a token is shown once, when it is made."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from models.api_key import PREFIX_CHARS, TOKEN_START, ApiKey, Scope, token_digest
from models.errors import DatabaseFailed, InvalidConfiguration, NotFound
from tasks.adapters.database import Database

CREATE = """
INSERT INTO api_keys (name, prefix, digest, scopes, worker_id, requests_per_minute,
                      concurrent_max, expires_at)
VALUES (%(name)s, %(prefix)s, %(digest)s, %(scopes)s, %(worker_id)s, %(requests_per_minute)s,
        %(concurrent_max)s, %(expires_at)s)
RETURNING *
"""

FIND = "SELECT * FROM api_keys WHERE prefix = %(prefix)s"

LIST = "SELECT * FROM api_keys ORDER BY created_at, name"

ROTATE = """
UPDATE api_keys SET prefix = %(prefix)s, digest = %(digest)s, last_used_at = NULL
WHERE name = %(name)s AND revoked_at IS NULL RETURNING *
"""

REVOKE = """
UPDATE api_keys SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL RETURNING *
"""

NOTE_USED = """
-- Once a minute is enough: a key in use must not cost a commit a request.
UPDATE api_keys SET last_used_at = now()
WHERE id = %(id)s AND coalesce(last_used_at, '-infinity') < now() - interval '1 minute'
"""

ANY_ACTIVE = """
SELECT EXISTS (SELECT FROM api_keys WHERE revoked_at IS NULL
               AND coalesce(expires_at, 'infinity') > now()) AS found
"""


async def create_key(
    database: Database,
    name: str,
    scopes: Collection[Scope],
    *,
    worker_id: str | None = None,
    requests_per_minute: int | None = None,
    concurrent_max: int | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its token; raises InvalidConfiguration for a name in use."""
    token = _fresh_token()
    values = {
        "name": name,
        "prefix": token[:PREFIX_CHARS],
        "digest": token_digest(token),
        "scopes": sorted(scopes),
        "worker_id": worker_id,
        "requests_per_minute": requests_per_minute,
        "concurrent_max": concurrent_max,
        "expires_at": expires_at,
    }
    try:
        return _key((await database.fetch_all(CREATE, values))[0]), token
    except DatabaseFailed as error:
        if isinstance(error.__cause__, UniqueViolation):
            raise InvalidConfiguration(f"there is a key {name!r} already: rotate it") from error
        raise


async def rotate_key(database: Database, name: str) -> tuple[ApiKey, str]:
    """Give a key a new token; the old one stops to work. Raises NotFound."""
    token = _fresh_token()
    values = {"name": name, "prefix": token[:PREFIX_CHARS], "digest": token_digest(token)}
    return _key(await _one(database, ROTATE, values, name)), token


async def revoke_key(database: Database, name: str) -> ApiKey:
    """End a key for good; raises NotFound."""
    return _key(await _one(database, REVOKE, {"name": name}, name))


async def list_keys(database: Database) -> list[ApiKey]:
    """Return every key there ever was, oldest first."""
    return [_key(row) for row in await database.fetch_all(LIST)]


async def find_key(database: Database, prefix: str) -> ApiKey | None:
    """Return the key with this prefix, or None."""
    row = await database.fetch_one(FIND, {"prefix": prefix})
    return None if row is None else _key(row)


async def note_key_used(database: Database, key_id: UUID) -> None:
    """Keep when the key was used, to the minute."""
    await database.execute(NOTE_USED, {"id": key_id})


async def has_active_key(database: Database) -> bool:
    """Return whether any key would be accepted now."""
    row = await database.fetch_one(ANY_ACTIVE)
    return row is not None and bool(row["found"])


async def _one(
    database: Database, query: Any, values: dict[str, Any], name: str
) -> dict[str, Any]:  # Any: a literal above, and a row
    row = await database.fetch_one(query, values)
    if row is None:
        raise NotFound(f"there is no active key {name!r}")
    return row


def _fresh_token() -> str:
    return f"{TOKEN_START}{secrets.token_urlsafe(6)}_{secrets.token_urlsafe(32)}"


def _key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(**{**row, "scopes": frozenset(Scope(scope) for scope in row["scopes"])})
