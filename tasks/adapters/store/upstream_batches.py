"""Batches that a provider works off, and the open holds of their lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tasks.adapters.database import Database
from tasks.adapters.ledger.rows import short

OPEN = "INSERT INTO upstream_batches (id, batch_id, model_id) VALUES (%(id)s, %(batch)s, %(model)s)"
NAME = "UPDATE upstream_batches SET upstream_id = %(upstream_id)s WHERE id = %(id)s"
END = """
UPDATE upstream_batches SET ended_at = clock_timestamp(), problem = %(problem)s
 WHERE id = %(id)s AND ended_at IS NULL
"""
UNDER_WAY = """
SELECT id, model_id, upstream_id FROM upstream_batches
 WHERE batch_id = %(batch)s AND ended_at IS NULL ORDER BY created_at
"""
HOLDS = """
SELECT s.id AS selection_id, s.token, s.decision_id, s.attempt_no, s.selected_model AS model_id,
       s.selected_provider AS provider, s.estimated_cost AS worst_case_usd,
       d.idempotency_key AS line_key, coalesce(d.policy_name, '') AS policy
  FROM model_selections s JOIN routing_decisions d ON d.id = s.decision_id
 WHERE s.owner = %(owner)s AND s.settled_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A provider's batch that has not ended here; without `upstream_id` its POST was cut."""

    id: UUID
    model_id: str
    upstream_id: str | None


def owner_of(upstream_batch: UUID) -> str:
    """Return the owner of the holds of a provider's batch: the batch, and no process."""
    return f"upstream-batch:{upstream_batch}"


async def open_batch(database: Database, ours: UUID, *, batch_id: UUID, model_id: str) -> None:
    """Store a batch before its holds are made."""
    await database.execute(OPEN, {"id": ours, "batch": batch_id, "model": model_id})


async def name_batch(database: Database, ours: UUID, upstream_id: str) -> None:
    """Keep the upstream's id of a batch: with it any process can go on."""
    await database.execute(NAME, {"id": ours, "upstream_id": short(upstream_id, 200)})


async def end_batch(database: Database, ours: UUID, problem: str | None = None) -> None:
    """Note that every line of a batch is booked, or why it came to nothing."""
    await database.execute(END, {"id": ours, "problem": short(problem)})


async def batches_under_way(database: Database, batch_id: UUID) -> list[StoredBatch]:
    """Return what earlier runs of a batch left with a provider."""
    rows = await database.fetch_all(UNDER_WAY, {"batch": batch_id})
    return [StoredBatch(**row) for row in rows]


async def open_holds(database: Database, ours: UUID) -> list[dict[str, Any]]:  # Any: rows
    """Return the holds of a batch whose bills have not come."""
    return await database.fetch_all(HOLDS, {"owner": owner_of(ours)})
