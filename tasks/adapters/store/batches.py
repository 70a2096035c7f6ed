"""Batches and their lines: stored, claimed by one runner, handed out in pages, counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from models.batch import Batch, BatchCounts, BatchItem, BatchLine
from models.request import RoutingRequest
from tasks.adapters.database import Database
from tasks.adapters.ledger.rows import json_rows

OPEN = """
-- The same file with the same limits is the same batch, until a new edition of it is wanted.
INSERT INTO batches (id, source_hash, edition, name, max_cost_usd, concurrency)
SELECT %(id)s, %(source_hash)s::text, coalesce(max(edition), 0) + 1, %(name)s,
       %(max_cost_usd)s::numeric, %(concurrency)s
  FROM batches WHERE source_hash = %(source_hash)s::text
HAVING %(anew)s OR count(*) = 0
    ON CONFLICT ON CONSTRAINT batches_source DO NOTHING
"""

FIND = """
SELECT id, is_loaded FROM batches WHERE source_hash = %(source_hash)s
ORDER BY edition DESC LIMIT 1
"""

READ = """
SELECT id AS batch_id, name, lines, max_cost_usd, deadline_at, concurrency
  FROM batches WHERE id = %(id)s
"""

ADD = """
INSERT INTO batch_items (batch_id, line_no, status, request, labels, answer_hash, problem)
SELECT %(id)s, l.line_no, CASE WHEN l.problem IS NULL THEN 'pending' ELSE 'invalid' END,
       l.request, l.labels, l.answer_hash, l.problem
  FROM jsonb_to_recordset(%(lines)s) AS l (
       line_no integer, request jsonb, labels jsonb, answer_hash text, problem text)
    ON CONFLICT DO NOTHING
"""

LOADED = """
WITH firsts AS (
    SELECT answer_hash, min(line_no) AS line_no FROM batch_items
     WHERE batch_id = %(id)s AND answer_hash IS NOT NULL
     GROUP BY answer_hash HAVING count(*) > 1
), same AS (
    UPDATE batch_items i SET same_as = f.line_no FROM firsts f
     WHERE i.batch_id = %(id)s AND i.answer_hash = f.answer_hash AND i.line_no > f.line_no
)
UPDATE batches SET is_loaded = true, lines = %(lines)s WHERE id = %(id)s
"""

CLAIM = """
-- One runner at a time; its claim ends by itself, or at once when it is known to be dead.
UPDATE batches b SET claimed_by = %(owner)s, ended_at = NULL,
       claimed_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
       concurrency = coalesce(%(concurrency)s::integer, b.concurrency),
       deadline_at = CASE WHEN %(deadline_s)s::float8 IS NULL THEN NULL
                          ELSE clock_timestamp() + make_interval(secs => %(deadline_s)s::float8) END
 WHERE b.id = %(id)s AND b.is_loaded
   AND (b.claimed_by IS NULL OR b.claimed_by = %(owner)s OR b.claimed_by = %(dead)s::text
        OR b.claimed_until <= clock_timestamp())
RETURNING id AS batch_id, name, lines, max_cost_usd, deadline_at, concurrency
"""

RENEW = """
UPDATE batches SET claimed_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE id = %(id)s AND claimed_by = %(owner)s
"""

END = """
UPDATE batches SET claimed_by = NULL, claimed_until = NULL, ended_at = clock_timestamp()
 WHERE id = %(id)s AND claimed_by = %(owner)s
"""

REOPEN = """
-- What failed, was refused or waits is tried again by a new start; what is completed stays.
UPDATE batch_items SET status = 'pending'
 WHERE batch_id = %(id)s AND status NOT IN ('pending', 'completed', 'invalid')
"""

NEXT = """
SELECT line_no, request FROM batch_items
 WHERE batch_id = %(id)s AND status = 'pending' AND same_as IS NULL
   AND line_no > %(after)s AND line_no <= %(last)s
 ORDER BY line_no
"""

CHUNK = """
SELECT min(line_no) AS first, max(line_no) AS last, count(*)::int AS lines FROM (
    SELECT line_no FROM batch_items
     WHERE batch_id = %(id)s AND status = 'pending' AND same_as IS NULL AND line_no > %(after)s
     ORDER BY line_no LIMIT %(limit)s) AS coming
"""

ENDED = """
SELECT i.line_no, i.status, i.labels, i.problem, d.result
  FROM batch_items i LEFT JOIN routing_decisions d ON d.id = i.decision_id
 WHERE i.batch_id = %(id)s AND i.status <> 'pending' AND i.line_no > %(after)s
 ORDER BY i.line_no LIMIT %(limit)s
"""

COUNT = """
SELECT status, count(*)::int AS n, count(same_as)::int AS duplicates,
       coalesce(sum((SELECT sum(s.actual_cost) FROM model_selections s
                      WHERE s.decision_id = i.decision_id AND i.same_as IS NULL)), 0) AS cost_usd
  FROM batch_items i WHERE batch_id = %(id)s GROUP BY status
"""


async def open_batch(
    database: Database,
    *,
    batch_id: UUID,
    source_hash: str,
    name: str,
    max_cost_usd: object,
    concurrency: int,
    anew: bool,
) -> tuple[UUID, bool]:
    """Return the batch of this source and whether its lines are stored already."""
    values = {
        "id": batch_id,
        "source_hash": source_hash,
        "name": name[:500],
        "max_cost_usd": max_cost_usd,
        "concurrency": concurrency,
        "anew": anew,
    }
    await database.execute(OPEN, values)
    (row,) = await database.fetch_all(FIND, {"source_hash": source_hash})
    return row["id"], row["is_loaded"]


async def add_lines(database: Database, batch_id: UUID, lines: Sequence[BatchLine]) -> None:
    """Store lines; those that are there already stay as they are."""
    documents = json_rows([_line_document(line) for line in lines])
    await database.execute(ADD, {"id": batch_id, "lines": documents})


def _line_document(line: BatchLine) -> dict[str, Any]:
    request = line.request
    return {
        "line_no": line.number,
        "request": request and request.model_dump(mode="json", exclude_unset=True),
        "labels": (request and request.metadata) or None,
        "answer_hash": line.answer_hash,
        "problem": line.problem,
    }


async def end_loading(database: Database, batch_id: UUID, lines: int) -> None:
    """Find the duplicates and declare the batch whole."""
    async with database.patient_transaction() as connection:
        await connection.execute(LOADED, {"id": batch_id, "lines": lines})


async def read_batch(database: Database, batch_id: UUID) -> Batch | None:
    """Return a batch, or None."""
    row = await database.fetch_one(READ, {"id": batch_id})
    return None if row is None else Batch(**row)


async def claimed_by(database: Database, batch_id: UUID) -> str | None:
    """Return who works on a batch, or did when it was last seen."""
    query = "SELECT claimed_by FROM batches WHERE id = %(id)s"
    row = await database.fetch_one(query, {"id": batch_id})
    return None if row is None else row["claimed_by"]


async def claim_batch(
    database: Database,
    batch_id: UUID,
    *,
    owner: str,
    dead: str | None,
    lease_s: float,
    deadline_s: float | None,
    concurrency: int | None,
) -> Batch | None:
    """Return the batch, now this owner's, what is not completed open again; None: another's."""
    values = {
        "id": batch_id,
        "owner": owner,
        "dead": dead,
        "lease_s": lease_s,
        "deadline_s": deadline_s,
        "concurrency": concurrency,
    }
    row = await database.fetch_one(CLAIM, values)
    if row is None:
        return None
    await database.execute(REOPEN, {"id": batch_id})
    return Batch(**row)


async def renew_claim(database: Database, batch_id: UUID, *, owner: str, lease_s: float) -> bool:
    """Return whether the batch is still this owner's, and for `lease_s` more."""
    values = {"id": batch_id, "owner": owner, "lease_s": lease_s}
    return bool(await database.execute(RENEW, values))


async def end_claim(database: Database, batch_id: UUID, *, owner: str) -> None:
    """Give the batch back."""
    await database.execute(END, {"id": batch_id, "owner": owner})


async def next_chunk(
    database: Database, batch_id: UUID, *, after: int, limit: int
) -> tuple[int, int, int] | None:
    """Return first, last and number of the next lines that are to be asked; None: there is none."""
    row = await database.fetch_one(CHUNK, {"id": batch_id, "after": after, "limit": limit})
    if row is None or not row["lines"]:
        return None
    return row["first"], row["last"], row["lines"]


async def next_items(database: Database, batch: Batch, *, after: int, last: int) -> list[BatchItem]:
    """Return the lines of a chunk that are to be asked, in the file's order."""
    rows = await database.fetch_all(NEXT, {"id": batch.batch_id, "after": after, "last": last})
    return [_item(batch, row) for row in rows]


def _item(batch: Batch, row: dict[str, Any]) -> BatchItem:
    request = RoutingRequest.model_validate(row["request"])
    key = request.caller_key() or batch.line_key(row["line_no"])
    if request.task_id is None:  # the batch is a task: its budget pays for the lines
        request = request.model_copy(update={"task_id": batch.batch_id})
    return BatchItem(row["line_no"], request, key)


async def ended_lines(
    database: Database, batch_id: UUID, *, after: int, limit: int
) -> list[dict[str, Any]]:
    """Return a page of lines that have ended, with their results."""
    return await database.fetch_all(ENDED, {"id": batch_id, "after": after, "limit": limit})


async def count_lines(database: Database, batch_id: UUID, lines: int) -> BatchCounts:
    """Count a batch's lines by status, and what they cost so far."""
    async with database.patient_transaction() as connection:
        rows = await (await connection.execute(COUNT, {"id": batch_id})).fetchall()
    return BatchCounts(
        lines=lines,
        by_status={row["status"]: row["n"] for row in rows},
        duplicates=sum(row["duplicates"] for row in rows),
        cost_usd=sum((row["cost_usd"] for row in rows), start=BatchCounts(0).cost_usd),
    )
