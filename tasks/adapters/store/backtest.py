"""The record that a backtest reads: decisions, attempts, scores, limits with their periods."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from models.backtest.balances import Limit
from models.backtest.past import Past
from models.backtest.reading import past_of
from tasks.adapters.database import Database

PAGE = 500
DECISIONS_MAX = 20_000
OLDER = "older than the newest {:,} decisions"

COUNT = """
SELECT count(*)::int AS decisions FROM routing_decisions
WHERE created_at >= %(since)s AND created_at < %(until)s
"""

DECISIONS = """
-- The newest decisions of the span without their snapshots; (created_at, id) is the place to go on.
SELECT d.id, d.created_at, d.status, d.task_type, d.complexity, d.policy_name, d.policy_version,
       coalesce((p.plan ->> 'propensity')::float8, 1) AS propensity,
       jsonb_array_length(p.plan -> 'candidates') AS planned,
       coalesce(p.plan #>> '{chain,check}' = 'agreement'
                AND (p.plan #>> '{chain,is_followed}')::boolean, false) AS asks_two,
       ARRAY(SELECT c ->> 'model_id' FROM jsonb_array_elements(p.plan -> 'candidates') AS c) AS way,
       ARRAY(SELECT m ->> 'model' FROM jsonb_array_elements(p.snapshot #> '{policy,models}') AS m)
           AS models,
       coalesce((p.snapshot #>> '{features,text_tokens_estimate}')::int, 0) AS prompt_estimate
FROM routing_decisions d
JOIN routing_decisions p ON p.id = coalesce(d.planned_with, d.id)
WHERE d.created_at >= %(since)s AND d.created_at < %(until)s
  AND (%(before_at)s::timestamptz IS NULL
       OR (d.created_at, d.id) < (%(before_at)s, %(before_id)s::uuid))
ORDER BY d.created_at DESC, d.id DESC LIMIT %(limit)s
"""

ATTEMPTS = """
-- What became of each attempt; a score of the attempt goes before one of the answer.
SELECT s.decision_id, s.selected_model, s.outcome, s.success, s.prompt_tokens, s.completion_tokens,
       CASE WHEN s.state IN ('SETTLED', 'RELEASED') THEN coalesce(s.actual_cost, 0) END
           AS actual_cost, f.score
FROM model_selections s
LEFT JOIN LATERAL (
    SELECT coalesce(min(g.score) FILTER (WHERE g.attempt_no IS NOT NULL), min(g.score)) AS score
    FROM decision_feedback g WHERE g.decision_id = s.decision_id
      AND (g.attempt_no = s.attempt_no OR (g.attempt_no IS NULL AND s.success))
) AS f ON true
WHERE s.decision_id = ANY(%(ids)s) AND s.outcome IS NOT NULL
ORDER BY s.decision_id, s.attempt_no, s.created_at
"""

SNAPSHOTS = """
SELECT d.id, p.snapshot::text AS snapshot
FROM routing_decisions d
JOIN routing_decisions p ON p.id = coalesce(d.planned_with, d.id)
WHERE d.id = ANY(%(ids)s)
"""

LIMITS = """
-- Every active limit of a policy or model with the bounds of its periods, by the ledger's own rule.
WITH RECURSIVE period AS (
    SELECT d.id, d.budget_period, d.time_zone, b.starts, b.ends
    FROM budget_definitions d,
         LATERAL ledger.period_bounds(d.budget_period, d.time_zone, %(since)s) b
    WHERE d.is_active AND d.budget_type IN ('policy', 'model')
    UNION ALL
    SELECT p.id, p.budget_period, p.time_zone, b.starts, b.ends
    FROM period p, LATERAL ledger.period_bounds(p.budget_period, p.time_zone, p.ends) b
    WHERE p.ends <= %(until)s
)
SELECT d.budget_type, d.scope_key, d.budget_period, d.budget_amount, d.mode, d.alert_threshold,
       array_agg(p.starts ORDER BY p.starts) AS starts, array_agg(p.ends ORDER BY p.starts) AS ends
FROM budget_definitions d JOIN period p ON p.id = d.id GROUP BY d.id
ORDER BY d.budget_type, d.scope_key, d.budget_period
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A decision of the record, without its snapshot."""

    past: Past
    at: datetime
    way: tuple[str, ...]
    prompt_estimate: int


@dataclass(slots=True)
class Record:
    """What a span recorded, oldest first, and how many decisions say nothing, by reason.

    `models` are all that their policies named.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    models: set[str] = field(default_factory=set)


async def read_record(
    database: Database, since: datetime, until: datetime, *, limit: int = DECISIONS_MAX
) -> Record:
    """Return the newest `limit` decisions of the span that can be judged."""
    record, seen = Record(), 0
    place: dict[str, Any] = {"before_at": None, "before_id": None}
    while seen < limit:
        size = min(PAGE, limit - seen)
        values = {"since": since, "until": until, "limit": size, **place}
        rows = await database.fetch_all(DECISIONS, values)
        await _read_page(database, rows, record)
        seen += len(rows)
        if len(rows) < size:
            break
        place = {"before_at": rows[-1]["created_at"], "before_id": rows[-1]["id"]}
    record.entries.reverse()
    counted = await database.fetch_one(COUNT, {"since": since, "until": until})
    if counted is not None and seen == limit < counted["decisions"]:
        record.left_out[OLDER.format(limit)] = counted["decisions"] - seen
    return record


async def _read_page(database: Database, rows: Sequence[dict[str, Any]], record: Record) -> None:
    ids = [row["id"] for row in rows]
    attempts: dict[UUID, list[dict[str, Any]]] = {}
    for attempt in await database.fetch_all(ATTEMPTS, {"ids": ids}):
        attempts.setdefault(attempt["decision_id"], []).append(attempt)
    for row in rows:
        past = past_of(row, attempts.get(row["id"], []))
        if isinstance(past, str):
            record.left_out[past] += 1
        else:
            way = tuple(row["way"])
            record.models.update(row["models"], way, (step.model_id for step in past.steps))
            record.entries.append(Entry(past, row["created_at"], way, row["prompt_estimate"]))


async def snapshot_pages(
    database: Database, entries: Sequence[Entry]
) -> AsyncIterator[list[tuple[Entry, str]]]:
    """Yield pages of entries with their snapshots as JSON texts, in the order given."""
    for start in range(0, len(entries), PAGE):
        page = entries[start : start + PAGE]
        rows = await database.fetch_all(SNAPSHOTS, {"ids": [entry.past.key for entry in page]})
        texts = {row["id"]: row["snapshot"] for row in rows}
        yield [(one, texts[one.past.key]) for one in page if texts.get(one.past.key)]


async def read_limits(database: Database, since: datetime, until: datetime) -> list[Limit]:
    """Return the limits of policies and models with their periods in the span."""
    rows = await database.fetch_all(LIMITS, {"since": since, "until": until})
    return [
        Limit(
            budget_type=row["budget_type"],
            scope_key=row["scope_key"],
            budget_period=row["budget_period"],
            amount_usd=row["budget_amount"],
            mode=row["mode"],
            alert_ratio=row["alert_threshold"],
            periods=tuple(zip(row["starts"], row["ends"], strict=True)),
        )
        for row in rows
    ]
