"""Requests that are stored before their flow run begins."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from tasks.adapters.database import Database

KEEP = "UPDATE routing_decisions SET request = %(request)s WHERE id = %(id)s"


async def keep_request(database: Database, decision_id: UUID, request: dict[str, Any]) -> None:
    """Store the request with its decision, for a flow run that is given the id only."""
    await database.execute(KEEP, {"id": decision_id, "request": Jsonb(request)})
