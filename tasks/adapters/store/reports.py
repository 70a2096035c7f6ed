"""How models did, computed from the ledger's rows; `costs` is beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from tasks.adapters.database import Database

PerformanceGroup = Literal["model", "provider", "policy", "task_type", "complexity"]
PERFORMANCE_GROUPS: tuple[PerformanceGroup, ...] = get_args(PerformanceGroup)

PERFORMANCE = """
-- Success as learning sees it (feedback corrects it), latency, tokens, cost, errors and feedback of
-- a span. Per success means all that was spent, failures included, for one of them.
WITH attempts AS (
    SELECT o.*, CASE %(group_by)s WHEN 'model' THEN o.model_id WHEN 'provider' THEN o.provider
                                  WHEN 'policy' THEN o.policy_name
                                  WHEN 'complexity' THEN o.complexity ELSE o.task_type END AS key
    FROM ledger.outcomes() o
    WHERE o.created_at >= %(since)s AND o.created_at < %(until)s
      AND (%(policy)s::text IS NULL OR o.policy_name = %(policy)s)
      AND (%(model)s::text IS NULL OR o.model_id = %(model)s)
      AND (%(worker)s::text IS NULL OR o.worker_id = %(worker)s)
      AND (%(task_type)s::text IS NULL OR o.task_type = %(task_type)s)
), kinds AS (
    SELECT key, jsonb_object_agg(error_kind, n) AS errors FROM (
        SELECT coalesce(key, '-') AS key, error_kind, count(*) AS n FROM attempts
        WHERE error_kind IS NOT NULL GROUP BY 1, 2) AS counted GROUP BY key
), sums AS (
    SELECT coalesce(a.key, '-') AS key, max(a.provider) AS provider, count(*)::int AS requests,
           nullif(count(*) FILTER (WHERE a.success), 0) AS successes,
           avg(a.success::int)::float8 AS success_rate,
           avg(a.latency_ms) FILTER (WHERE a.success)::float8 AS latency_ms_avg,
           percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY a.latency_ms)
               FILTER (WHERE a.success) AS latencies,
           sum(a.cost_usd) AS cost_usd, coalesce(sum(a.tokens), 0) AS tokens,
           avg(a.tokens) FILTER (WHERE a.success)::float8 AS tokens_avg,
           avg((a.error_kind IS NOT NULL)::int)::float8 AS error_rate,
           avg(a.score)::float8 AS satisfaction
    FROM attempts a WHERE %(after)s::text IS NULL OR coalesce(a.key, '-') > %(after)s
    GROUP BY a.key ORDER BY 1 LIMIT %(limit)s
)
SELECT s.key, CASE WHEN %(group_by)s = 'model' THEN s.key END AS model,
       CASE WHEN %(group_by)s IN ('model', 'provider') THEN s.provider END AS provider,
       s.requests, s.success_rate, s.latency_ms_avg, s.latencies[1] AS latency_ms_p50,
       s.latencies[2] AS latency_ms_p95, s.latencies[3] AS latency_ms_p99, s.cost_usd,
       round(s.cost_usd / s.successes, 12) AS cost_per_success_usd, s.tokens_avg,
       (s.tokens / s.successes)::float8 AS tokens_per_success, s.error_rate,
       coalesce(k.errors, '{}') AS errors, s.satisfaction
FROM sums s LEFT JOIN kinds k ON k.key = s.key ORDER BY s.key
"""


@dataclass(frozen=True, slots=True)
class Span:
    """Which rows a report covers; None filters nothing."""

    since: datetime
    until: datetime
    policy: str | None = None
    model: str | None = None
    worker: str | None = None
    task_type: str | None = None


async def performance_report(
    database: Database, span: Span, group_by: PerformanceGroup, *, after: str | None, limit: int
) -> dict[str, Any]:
    """Return the performance document: a page of groups."""
    return page_of(
        await database.fetch_all(PERFORMANCE, span_parameters(span, group_by, after, limit + 1)),
        limit,
    )


def page_of(groups: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """Return a page of groups that were asked for with one more than fits."""
    more = len(groups) > limit
    return {
        "groups": groups[:limit],
        "next_cursor": groups[limit - 1]["key"] if more else None,
    }


def span_parameters(span: Span, group_by: str, after: str | None, limit: int) -> dict[str, Any]:
    """Return the values that every report's query takes."""
    return {
        "since": span.since,
        "until": span.until,
        "policy": span.policy,
        "model": span.model,
        "worker": span.worker,
        "task_type": span.task_type,
        "group_by": group_by,
        "after": after,
        "limit": limit,
    }
