"""Cursors: opaque texts that say where a page ended."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from uuid import UUID

from deployments.api.problems import ApiProblem
from tasks.adapters.store.listings import Place


def encode_cursor(*parts: str) -> str:
    """Return the cursor that holds these texts."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, length: int) -> list[str] | None:
    """Return the texts of a cursor, None without one; raises 404 for anything else."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        parts = None
    if (
        not isinstance(parts, list)
        or len(parts) != length
        or not all(isinstance(part, str) and "\0" not in part and _has_utf8(part) for part in parts)
    ):
        raise ApiProblem(404, "cursor: there is no such page")
    return parts


def place_of(cursor: str | None) -> Place | None:
    """Return the place in a list of decisions."""
    parts = decode_cursor(cursor, 2)
    if parts is None:
        return None
    try:
        at = datetime.fromisoformat(parts[0])
        place = Place(at, UUID(parts[1]))
    except ValueError:
        raise ApiProblem(404, "cursor: there is no such page") from None
    if at.tzinfo is None:
        raise ApiProblem(404, "cursor: there is no such page")
    return place


def cursor_of(place: Place | None) -> str | None:
    """Return the cursor for a place."""
    return None if place is None else encode_cursor(place.at.isoformat(), str(place.id))


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
