"""How models did, computed from the ledger's rows; `costs` is beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from tasks.adapters.database import Database

PerformanceGroup = Literal["model", "policy", "task_type"]
PERFORMANCE_GROUPS: tuple[PerformanceGroup, ...] = get_args(PerformanceGroup)

PERFORMANCE = """
-- Success, latency, tokens, errors and feedback of a span by model, policy or task type. A score
-- without an attempt is about the answer that was given.
WITH attempts AS (
    SELECT s.*, CASE %(group_by)s WHEN 'model' THEN s.selected_model
                                  WHEN 'policy' THEN s.policy_name ELSE s.task_type END AS key
    FROM model_selections s
    WHERE s.created_at >= %(since)s AND s.created_at < %(until)s AND s.outcome IS NOT NULL
      AND (%(policy)s::text IS NULL OR s.policy_name = %(policy)s)
      AND (%(model)s::text IS NULL OR s.selected_model = %(model)s)
      AND (%(worker)s::text IS NULL OR s.worker_id = %(worker)s)
      AND (%(task_type)s::text IS NULL OR s.task_type = %(task_type)s)
), kinds AS (
    SELECT key, jsonb_object_agg(error_kind, n) AS errors FROM (
        SELECT coalesce(key, '-') AS key, error_kind, count(*) AS n FROM attempts
        WHERE error_kind IS NOT NULL GROUP BY 1, 2) AS counted GROUP BY key
)
SELECT coalesce(a.key, '-') AS key,
       CASE WHEN %(group_by)s = 'model' THEN a.key END AS model,
       CASE WHEN %(group_by)s = 'model' THEN max(a.selected_provider) END AS provider,
       count(*)::int AS requests,
       avg(coalesce(a.success, false)::int)::float8 AS success_rate,
       avg(a.response_time_ms) FILTER (WHERE a.success)::float8 AS latency_ms_avg,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY a.response_time_ms)
           FILTER (WHERE a.success) AS latency_ms_p50,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY a.response_time_ms)
           FILTER (WHERE a.success) AS latency_ms_p95,
       coalesce(sum(a.actual_cost), 0) AS cost_usd,
       avg(a.tokens_used) FILTER (WHERE a.success)::float8 AS tokens_avg,
       avg((a.error_kind IS NOT NULL)::int)::float8 AS error_rate,
       coalesce(max(k.errors::text)::jsonb, '{}'::jsonb) AS errors,
       avg(f.score)::float8 AS satisfaction
FROM attempts a LEFT JOIN kinds k ON k.key = coalesce(a.key, '-')
LEFT JOIN LATERAL (
    SELECT coalesce(min(g.score) FILTER (WHERE g.attempt_no IS NOT NULL), min(g.score)) AS score
    FROM decision_feedback g WHERE g.decision_id = a.decision_id
      AND (g.attempt_no = a.attempt_no OR (g.attempt_no IS NULL AND a.success))
) AS f ON true
WHERE %(after)s::text IS NULL OR coalesce(a.key, '-') > %(after)s
GROUP BY a.key ORDER BY 1 LIMIT %(limit)s
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
