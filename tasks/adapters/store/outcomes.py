"""What outcomes teach, kept up to date: windows of performance, and discounted sums by hour.

Only hours in which something changed are computed again: an attempt that ended, a bill that came
late, a score. Each is then replaced whole, so that running it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from models.learning.posteriors import DISCOUNT
from models.learning.spans import Span, spans_of
from tasks.adapters.database import Database

LOCK = 7_355_608_244  # any number nobody else uses for pg_advisory_xact_lock
SETTINGS = (
    "SET LOCAL work_mem = '128MB'; SET LOCAL lock_timeout = '60s';"
    " SET LOCAL idle_in_transaction_session_timeout = '60s'"
)
# A row carries the clock of its own statement and is seen once that has committed; nothing that
# books takes a minute (docs/ledger.md, timeouts).
MARGIN = timedelta(minutes=10)
EVER = Span(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
# An outcome weighs 0.99^2000, two in a thousand million, once 2,000 others have followed it.
USES_MAX = 2000

PROGRESS = """
SELECT now() AS now, p.changed_until FROM (SELECT 1) AS one
LEFT JOIN learning_progress p ON p.discount = %(discount)s
"""

CHANGED = """
-- The hours whose rows changed. What is still open may change again. Of a decision with several
-- attempts all hours count: what the first one was tells what came before the second.
WITH changed AS (
    SELECT s.decision_id, s.created_at, s.attempt_no FROM model_selections s
    WHERE s.settled_at >= %(since)s
    UNION ALL
    SELECT s.decision_id, s.created_at, s.attempt_no FROM model_selections s
    WHERE s.settled_at IS NULL AND s.outcome IS NOT NULL
    UNION ALL
    SELECT s.decision_id, s.created_at, 1 FROM decision_feedback f
    JOIN model_selections s ON s.decision_id = f.decision_id
    WHERE f.created_at >= %(since)s
)
SELECT DISTINCT date_trunc('hour', every.created_at, 'UTC') AS hour FROM (
    SELECT created_at FROM changed
    UNION ALL
    SELECT s.created_at FROM changed c JOIN model_selections s ON s.decision_id = c.decision_id
    WHERE c.attempt_no > 1) AS every
ORDER BY hour
"""

CLEAR = """
WITH windows AS (
    DELETE FROM model_performance WHERE {within} RETURNING 1
), hours AS (
    DELETE FROM learned_hours WHERE {within} RETURNING 1
)
SELECT (SELECT count(*) FROM windows)::int AS windows, (SELECT count(*) FROM hours)::int AS hours
"""

GATHER = """
-- The outcomes of a span, read once. `kind` is one number for everything that windows and cells go
-- by, because numbers group and sort much faster than names.
CREATE TEMP TABLE span_outcomes ON COMMIT DROP AS
SELECT hash_record_extended(ROW(o.model_id, o.provider, o.policy_name, o.task_type, o.complexity,
                                o.failed_before), 0) AS kind,
       o.hour, o.created_at, o.id, o.latency_ms, o.tokens, o.failed_before, o.answered, o.success,
       o.teaches, o.cost_usd, o.score, o.error_kind, o.told_by_check
FROM ledger.outcomes() o WHERE {within}
"""

NAME = """
CREATE TEMP TABLE span_kinds ON COMMIT DROP AS
SELECT named.*,
       dense_rank() OVER (ORDER BY model_id) AS widest,
       dense_rank() OVER (ORDER BY model_id, known_type, failed_before) AS by_type,
       dense_rank() OVER (ORDER BY model_id, known_type, failed_before, complexity) AS finest
FROM (
    SELECT first.kind, s.selected_model AS model_id, s.selected_provider AS provider,
           s.policy_name, s.task_type, s.complexity, o.failed_before,
           coalesce(nullif(s.task_type, '*'), 'general') AS known_type
    FROM (SELECT kind, min(ctid) AS place FROM span_outcomes GROUP BY kind) AS first
    JOIN span_outcomes o ON o.ctid = first.place
    JOIN model_selections s ON s.id = o.id) AS named
"""

MEASURE = """
INSERT INTO model_performance
    (window_start, window_end, model_name, provider, policy_name, task_type, complexity,
     total_requests, successful_requests, failed_requests, avg_response_time_ms,
     p50_response_time_ms, p95_response_time_ms, p99_response_time_ms, total_cost,
     cost_per_success, total_tokens, avg_tokens_used, tokens_per_success, errors, satisfaction,
     rated_requests)
SELECT f.hour, f.hour + interval '1 hour', k.model_id, k.provider, k.policy_name, k.task_type,
       k.complexity, requests, successes, requests - successes, latency_ms_avg, latency_ms[1],
       latency_ms[2], latency_ms[3], cost_usd, cost_usd / nullif(successes, 0), tokens, tokens_avg,
       tokens / nullif(successes, 0),
       CASE WHEN errors IS NULL THEN '{}' ELSE (
           SELECT jsonb_object_agg(error, n)
           FROM (SELECT error, count(*) AS n FROM unnest(errors) AS error GROUP BY error) AS of_one)
       END, satisfaction, rated
FROM (
    SELECT o.hour, w.window_kind,
           count(*)::int AS requests, (count(*) FILTER (WHERE o.success))::int AS successes,
           round(avg(o.latency_ms) FILTER (WHERE o.success)) AS latency_ms_avg,
           percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY o.latency_ms)
               FILTER (WHERE o.success) AS latency_ms,
           sum(o.cost_usd) AS cost_usd, coalesce(sum(o.tokens), 0) AS tokens,
           round(avg(o.tokens) FILTER (WHERE o.success)) AS tokens_avg,
           array_agg(o.error_kind) FILTER (WHERE o.error_kind IS NOT NULL) AS errors,
           avg(o.score) AS satisfaction, count(o.score)::int AS rated
    FROM span_outcomes o JOIN (
        SELECT kind, min(kind) OVER (PARTITION BY model_id, provider, policy_name, task_type,
                                     complexity) AS window_kind FROM span_kinds) AS w USING (kind)
    GROUP BY w.window_kind, o.hour) AS f
JOIN span_kinds k ON k.kind = f.window_kind
"""

LEARN = """
-- Three levels of cells, each by a number of its own; k outcomes later in the hour make an outcome
-- weigh discount^k. Hours that enough later outcomes outweigh are left out.
WITH counts AS (
    SELECT kind, hour, count(*) AS outcomes FROM span_outcomes WHERE teaches GROUP BY kind, hour
), places AS (
    SELECT 0 AS level, widest AS cell, kind, model_id, '*' AS task_type, '*' AS complexity,
           failed_before
    FROM span_kinds WHERE failed_before = 0
    UNION ALL
    SELECT 1, by_type, kind, model_id, known_type, '*', failed_before FROM span_kinds
    UNION ALL
    SELECT 2, finest, kind, model_id, known_type, complexity, failed_before FROM span_kinds
    WHERE complexity IS NOT NULL
), cells AS (
    SELECT level, cell, min(hour) AS since FROM (
        SELECT p.level, p.cell, c.hour,
               coalesce(sum(sum(c.outcomes)) OVER (
                   PARTITION BY p.level, p.cell ORDER BY c.hour DESC
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS later
        FROM counts c JOIN places p USING (kind) GROUP BY p.level, p.cell, c.hour) AS hours
    WHERE later < %(uses_max)s GROUP BY level, cell
), ranked AS (
    SELECT p.level, p.cell, o.hour, o.success::int AS success, o.told_by_check AS told,
           o.cost_usd::float8 AS cost_usd,
           CASE WHEN o.answered THEN o.latency_ms END AS latency_ms,
           row_number() OVER (PARTITION BY p.level, p.cell, o.hour
                              ORDER BY o.created_at DESC, o.id DESC) AS place
    FROM places p JOIN cells c USING (level, cell)
    JOIN span_outcomes o ON o.kind = p.kind AND o.hour >= c.since
    WHERE o.teaches
), summed AS (
    SELECT level, cell, hour, count(*)::int AS outcomes, sum(share) AS weight,
           sum(share * success) AS successes, sum(share * cost_usd) AS cost_usd,
           coalesce(sum(share) FILTER (WHERE latency_ms IS NOT NULL), 0) AS timed,
           coalesce(sum(share * latency_ms), 0) AS latency_ms,
           coalesce(sum(share) FILTER (WHERE told), 0) AS told_weight,
           coalesce(sum(share * success) FILTER (WHERE told), 0) AS told_successes
    FROM (SELECT r.*, power(%(discount)s::float8, least(r.place - 1, %(uses_max)s)::float8) AS share
          FROM ranked r) AS shared
    GROUP BY level, cell, hour
)
INSERT INTO learned_hours (model_id, task_type, complexity, failed_before, window_start, outcomes,
                           weight, successes, cost_usd, timed, latency_ms, told_weight,
                           told_successes)
SELECT n.model_id, n.task_type, n.complexity, n.failed_before, s.hour, s.outcomes, s.weight,
       s.successes, s.cost_usd, s.timed, s.latency_ms, s.told_weight, s.told_successes
FROM summed s
JOIN (SELECT DISTINCT level, cell, model_id, task_type, complexity, failed_before
      FROM places) AS n USING (level, cell)
"""

ADVANCE = """
INSERT INTO learning_progress (id, changed_until, discount) VALUES (1, %(now)s, %(discount)s)
ON CONFLICT (id) DO UPDATE SET changed_until = excluded.changed_until, discount = excluded.discount
"""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What one run brought up to date; `hours` is None when it was everything."""

    hours: int | None
    windows: int
    dropped: int


async def recompute(database: Database, *, everything: bool = False) -> Recomputed:
    """Bring windows and sums up to date with every change since the last run, in one commit."""
    async with database.patient_transaction() as connection:
        await connection.execute(SETTINGS)
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        progress = await _one(connection, PROGRESS, {"discount": DISCOUNT})
        since = None if everything else progress["changed_until"]
        spans, hours = [EVER], None
        if since is not None:
            changed = await _changed(connection, since - MARGIN)
            spans, hours = spans_of(changed), len(changed)
        windows, before = await _replace_hours(connection, spans) if spans else (0, 0)
        await connection.execute(ADVANCE, {"now": progress["now"], "discount": DISCOUNT})
    return Recomputed(hours, windows, max(0, before - windows))


async def _changed(connection: AsyncConnection[DictRow], since: datetime) -> list[datetime]:
    cursor = await connection.execute(CHANGED, {"since": since}, prepare=False)
    return [row["hour"] for row in await cursor.fetchall()]


async def _replace_hours(
    connection: AsyncConnection[DictRow], spans: Sequence[Span]
) -> tuple[int, int]:
    """Replace the hours of these spans; return how many windows there are now and were before."""
    cleared = await _one(connection, sql.SQL(CLEAR).format(within=_within("window_start", spans)))
    await connection.execute(sql.SQL(GATHER).format(within=_within("created_at", spans)))
    await connection.execute(NAME, prepare=False)
    made = await connection.execute(MEASURE, prepare=False)
    await connection.execute(LEARN, {"discount": DISCOUNT, "uses_max": USES_MAX}, prepare=False)
    await connection.execute("DROP TABLE span_outcomes, span_kinds")
    return made.rowcount, cleared["windows"]


def _within(column: str, spans: Sequence[Span]) -> sql.Composable:
    """Return the condition with its instants written out: so it is planned for what they hold."""
    part = sql.SQL("({column} >= {since} AND {column} < {until})")
    return sql.SQL(" OR ").join(
        part.format(
            column=sql.Identifier(column),
            since=sql.Literal(span.since),
            until=sql.Literal(span.until),
        )
        for span in spans
    )


async def _one(
    connection: AsyncConnection[DictRow], query: Any, values: dict[str, Any] | None = None
) -> DictRow:  # Any: LiteralString or a composed one
    row = await (await connection.execute(query, values, prepare=False)).fetchone()
    if row is None:
        raise RuntimeError("a statement without a row")
    return row
