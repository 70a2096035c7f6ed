"""Rate limits as rows: read, set, learned, and the turns taken under them."""

from __future__ import annotations

from typing import Literal, NamedTuple
from uuid import UUID

from models.rate_limit import Lesson, LimitOrder, RateLimit
from tasks.adapters.database import Database

SCOPES = """
SELECT scope FROM rate_limits
 WHERE account = %(account)s AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""
READ = """
SELECT l.scope AS model, l.source, l.requests, l.period_s, l.concurrency,
       CASE WHEN l.blocked_until > clock_timestamp() THEN l.blocked_until END AS blocked_until,
       l.expires_at, tickets.waiting, tickets.running, l.turns, l.waits, l.waited_s, l.refusals,
       l.lessons
  FROM rate_limits l
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE NOT t.is_running)::int AS waiting,
              count(*) FILTER (WHERE t.is_running)::int AS running
         FROM rate_tickets t
        WHERE t.account = l.account AND t.expires_at > clock_timestamp()
          AND ledger.limit_covers(l.scope, t.model)) tickets
 WHERE l.account = %(account)s AND (l.expires_at IS NULL OR l.expires_at > clock_timestamp())
 ORDER BY l.scope, l.source
"""
SET = """
INSERT INTO rate_limits AS l (account, scope, source, requests, period_s, concurrency)
VALUES (%(account)s, %(model)s, 'set', %(requests)s, %(period_s)s, %(concurrency)s)
ON CONFLICT (account, scope, source) DO UPDATE
   SET requests = excluded.requests, period_s = excluded.period_s,
       concurrency = excluded.concurrency, updated_at = clock_timestamp(),
       next_at = least(l.next_at, clock_timestamp())
"""
UNSET = "DELETE FROM rate_limits WHERE account = %(account)s AND scope = %(model)s"
TAKE = """
SELECT * FROM ledger.take_turn(%(account)s, %(model)s, %(worker)s, %(ticket)s, %(patience_s)s,
                               %(lease_s)s)
"""
LEARN = """
SELECT ledger.learn_limit(%(account)s, %(scope)s, %(requests)s, %(period_s)s, %(blocked_s)s,
                          %(keep_s)s)
"""


class Turn(NamedTuple):
    """What asking for a turn answered (`ledger.take_turn`); `wait_s` is a time from now."""

    answer: Literal["go", "wait", "late"]
    wait_s: float
    scope: str | None
    must_return: bool


async def limited_scopes(database: Database, account: str) -> frozenset[str]:
    """Return the scopes that have a limit now."""
    rows = await database.fetch_all(SCOPES, {"account": account})
    return frozenset(row["scope"] for row in rows)


async def read_limits(database: Database, account: str) -> list[RateLimit]:
    """Return every limit that holds now, by model and source."""
    rows = await database.fetch_all(READ, {"account": account})
    return [RateLimit.model_validate(row) for row in rows]


async def set_limit(database: Database, account: str, order: LimitOrder) -> None:
    """Set what a person says of a scope; an order without numbers removes what is known of it."""
    values = {"account": account, **order.model_dump()}
    await database.execute(UNSET if order.removes else SET, values)


async def learn_limit(database: Database, account: str, lesson: Lesson) -> None:
    """Keep what a 429 taught, for every process."""
    values = {
        "account": account,
        "scope": lesson.scope,
        "requests": lesson.requests,
        "period_s": lesson.period_s,
        "blocked_s": lesson.blocked_s,
        "keep_s": lesson.keep_s,
    }
    await database.fetch_one(LEARN, values)


async def take_turn(
    database: Database,
    account: str,
    *,
    model_id: str,
    worker: str,
    ticket: UUID,
    patience_s: float,
    lease_s: float,
) -> Turn:
    """Ask for a turn, again with the same ticket while it is `wait`."""
    values = {
        "account": account,
        "model": model_id,
        "worker": worker,
        "ticket": ticket,
        "patience_s": patience_s,
        "lease_s": lease_s,
    }
    (row,) = await database.fetch_all(TAKE, values)
    return Turn(row["answer"], row["wait_s"], row["scope"], row["must_return"])


async def return_ticket(database: Database, ticket: UUID) -> None:
    """Leave the queue, or end a turn that counts as long as it lasts."""
    await database.execute("DELETE FROM rate_tickets WHERE id = %s", (ticket,))
