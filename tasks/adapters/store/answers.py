"""Answers that are given again: found, led to, kept, swept, purged and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from models.reuse import KeptAnswer
from tasks.adapters.database import Database

FIND = """
SELECT * FROM ledger.find_answer(%(key)s, %(token)s::uuid, %(decision_id)s, %(owner)s,
                                 make_interval(secs => %(lease_s)s))
"""

RENEW = """
UPDATE answers_in_flight
   SET lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE key = %(key)s AND token = %(token)s
"""

KEEP = """
-- Keep the answer and end the flight in one commit: who follows finds it.
WITH landed AS (
    DELETE FROM answers_in_flight WHERE key = %(key)s AND token = %(token)s::uuid
)
INSERT INTO cached_answers (key, policy_name, policy_version, model_id, decision_id, answer, bytes,
                            created_at, expires_at)
SELECT %(key)s, %(policy)s, %(version)s, %(model_id)s, %(decision_id)s, a.answer,
       octet_length(a.answer::text), clock_timestamp(),
       clock_timestamp() + make_interval(secs => %(ttl_s)s)
  FROM (SELECT %(answer)s::jsonb AS answer) a
    ON CONFLICT (key) DO UPDATE SET
       policy_version = excluded.policy_version, model_id = excluded.model_id,
       decision_id = excluded.decision_id, answer = excluded.answer, bytes = excluded.bytes,
       created_at = excluded.created_at, expires_at = excluded.expires_at
"""

LEAVE = """
DELETE FROM answers_in_flight WHERE key = %(key)s AND token = %(token)s
"""

OPEN = """
UPDATE answers_in_flight SET is_open = true,
       lease_expires_at = clock_timestamp() + make_interval(secs => %(open_s)s)
 WHERE key = %(key)s AND token = %(token)s
"""

SWEEP = """
-- Many processes sweep: each takes what no other one holds, so that none waits for another.
WITH landed AS (
    DELETE FROM answers_in_flight WHERE key IN (
        SELECT key FROM answers_in_flight
         WHERE lease_expires_at < clock_timestamp() - interval '1 minute' FOR UPDATE SKIP LOCKED)
)
DELETE FROM cached_answers WHERE key IN (
    SELECT key FROM cached_answers WHERE expires_at <= clock_timestamp()
     LIMIT 5000 FOR UPDATE SKIP LOCKED)
"""

# The table's size on disk is known at once and never less than what is in it.
SIZE = "SELECT pg_total_relation_size('cached_answers') AS bytes"

BOUND = """
-- The newest answers that fit together stay.
DELETE FROM cached_answers WHERE key IN (
    SELECT c.key FROM cached_answers c
      JOIN (SELECT key, sum(bytes) OVER (ORDER BY created_at DESC, key) AS so_far
              FROM cached_answers) AS newest ON newest.key = c.key
     WHERE newest.so_far > %(bytes_max)s FOR UPDATE OF c SKIP LOCKED)
"""

PURGE = """
-- All of them, so this one waits; in the order of keys, so that two purges never wait in a ring.
DELETE FROM cached_answers WHERE key IN (
    SELECT key FROM cached_answers WHERE %(policy)s::text IS NULL OR policy_name = %(policy)s
     ORDER BY key FOR UPDATE)
"""

STATISTICS = """
WITH kept AS (
    SELECT policy_name, count(*)::int AS entries, sum(bytes)::bigint AS bytes,
           min(created_at) AS oldest_at
      FROM cached_answers WHERE expires_at > clock_timestamp() GROUP BY 1
), used AS (
    SELECT policy_name, count(*)::int AS hits FROM routing_decisions
     WHERE reuse = 'cache' GROUP BY 1
)
SELECT policy_name AS policy, coalesce(k.entries, 0) AS entries, coalesce(k.bytes, 0) AS bytes,
       k.oldest_at, coalesce(u.hits, 0) AS hits
  FROM kept k FULL JOIN used u USING (policy_name) ORDER BY 1
"""

IN_FLIGHT = """
SELECT count(*)::int AS n FROM answers_in_flight
 WHERE lease_expires_at > clock_timestamp() AND NOT is_open
"""


@dataclass(frozen=True, slots=True)
class Flight:
    """One lead: who holds the token asks a model while the lease lasts."""

    key: str
    token: UUID
    decision_id: UUID
    owner: str
    lease_s: float


async def find_answer(
    database: Database, flight: Flight, *, leads: bool
) -> tuple[str, KeptAnswer | None]:
    """Return `hit` with the answer, or `lead`, `follow` or `alone`; `none` when only looking."""
    values = _values(flight) | {"token": flight.token if leads else None}
    row = await database.fetch_one(FIND, values)
    if row is None:
        return "none", None
    if row["way"] != "hit":
        return row["way"], None
    return "hit", KeptAnswer(row["decision_id"], row["answer"], row["kept_at"])


async def renew_lead(database: Database, flight: Flight) -> bool:
    """Keep the lead for another lease; False when another has it."""
    return await database.execute(RENEW, _values(flight)) == 1


async def keep_answer(
    database: Database,
    flight: Flight,
    answer: dict[str, Any],
    *,
    policy: str,
    version: int,
    ttl_s: float,
) -> None:
    """Keep an answer for `ttl_s`, and end the flight."""
    values = _values(flight) | {
        "answer": Jsonb(answer),
        "model_id": answer["model"],
        "policy": policy,
        "version": version,
        "ttl_s": ttl_s,
    }
    await database.execute(KEEP, values)


async def leave_lead(database: Database, flight: Flight) -> None:
    """End the flight without an answer: the next one who asks leads."""
    await database.execute(LEAVE, _values(flight))


async def open_lead(database: Database, flight: Flight, open_s: float) -> None:
    """End the flight with an answer that is not kept: for a moment nobody waits for another."""
    await database.execute(OPEN, _values(flight) | {"open_s": open_s})


async def sweep_answers(database: Database, *, bytes_max: int) -> int:
    """Drop what has expired, and the oldest of what is too much; return how many."""
    dropped = await database.execute(SWEEP)
    size = await database.fetch_one(SIZE)
    if size is not None and size["bytes"] > bytes_max:
        dropped += await database.execute(BOUND, {"bytes_max": bytes_max})
    return dropped


async def purge_answers(database: Database, policy: str | None) -> int:
    """Drop every answer, or those of one policy; return how many."""
    return await database.execute(PURGE, {"policy": policy})


async def answer_statistics(database: Database) -> dict[str, Any]:
    """Return how much is kept, how often it was used, and how many are asking now."""
    policies = await database.fetch_all(STATISTICS)
    in_flight = await database.fetch_one(IN_FLIGHT)
    return {
        "entries": sum(row["entries"] for row in policies),
        "bytes": sum(row["bytes"] for row in policies),
        "hits": sum(row["hits"] for row in policies),
        "in_flight": 0 if in_flight is None else in_flight["n"],
        "policies": policies,
    }


def _values(flight: Flight) -> dict[str, Any]:
    return {
        "key": flight.key,
        "token": flight.token,
        "decision_id": flight.decision_id,
        "owner": flight.owner,
        "lease_s": flight.lease_s,
    }
