"""Windows of performance: hours, by model, provider, policy, type and complexity."""

from __future__ import annotations

from typing import Any

from tasks.adapters.database import Database

RECOMPUTE = """
-- Recompute the last hours from the ledger's entries: late bills change old windows, and a window
-- that lost its last entry goes. Running it twice changes nothing.
WITH span AS (
    SELECT date_trunc('hour', now() - make_interval(hours => %(hours)s), 'UTC') AS since
), fresh AS (
    INSERT INTO model_performance AS known
        (window_start, window_end, model_name, provider, policy_name, task_type, complexity,
         total_requests, successful_requests, failed_requests, avg_response_time_ms, total_cost,
         avg_tokens_used, p50_response_time_ms, p95_response_time_ms)
    SELECT date_trunc('hour', s.created_at, 'UTC'),
           date_trunc('hour', s.created_at, 'UTC') + interval '1 hour',
           s.selected_model, s.selected_provider, s.policy_name, s.task_type, s.complexity,
           count(*), count(*) FILTER (WHERE s.success), count(*) FILTER (WHERE NOT s.success),
           round(avg(s.response_time_ms) FILTER (WHERE s.success)),
           coalesce(sum(s.actual_cost), 0),
           round(avg(s.tokens_used) FILTER (WHERE s.success)),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY s.response_time_ms)
               FILTER (WHERE s.success),
           percentile_disc(0.95) WITHIN GROUP (ORDER BY s.response_time_ms)
               FILTER (WHERE s.success)
    FROM model_selections s, span
    WHERE s.created_at >= span.since AND s.sent_at IS NOT NULL AND s.outcome IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (window_start, model_name, provider, policy_name, task_type, complexity)
    DO UPDATE SET
        total_requests = excluded.total_requests,
        successful_requests = excluded.successful_requests,
        failed_requests = excluded.failed_requests,
        avg_response_time_ms = excluded.avg_response_time_ms, total_cost = excluded.total_cost,
        avg_tokens_used = excluded.avg_tokens_used,
        p50_response_time_ms = excluded.p50_response_time_ms,
        p95_response_time_ms = excluded.p95_response_time_ms
    RETURNING known.id
), gone AS (
    DELETE FROM model_performance p USING span
    WHERE p.window_start >= span.since AND p.id NOT IN (SELECT fresh.id FROM fresh)
    RETURNING p.id
)
SELECT (SELECT count(*) FROM fresh)::int AS windows, (SELECT count(*) FROM gone)::int AS dropped
"""

MODELS = """
SELECT p.model_name AS model, sum(p.total_requests)::int AS requests,
       sum(p.successful_requests)::int AS successes, sum(p.total_cost) AS cost_usd,
       (sum(p.avg_response_time_ms::bigint * p.successful_requests)
        / nullif(sum(p.successful_requests), 0))::int AS latency_ms_avg,
       max(p.p95_response_time_ms) AS latency_ms_p95,
       (sum(p.avg_tokens_used::bigint * p.successful_requests)
        / nullif(sum(p.successful_requests), 0))::int AS tokens_avg
FROM model_performance p
WHERE p.window_start >= date_trunc('hour', now() - make_interval(hours => %(hours)s), 'UTC')
GROUP BY p.model_name ORDER BY requests DESC, p.model_name LIMIT 100
"""


async def recompute_windows(database: Database, hours: int) -> dict[str, Any]:
    """Bring the last hours up to date; return how many windows there are and were dropped."""
    async with database.patient_transaction() as connection:
        rows = await (await connection.execute(RECOMPUTE, {"hours": hours})).fetchall()
    return rows[0]


async def model_windows(database: Database, hours: int) -> list[dict[str, Any]]:
    """Return how each model did in the last hours, busiest first."""
    return await database.fetch_all(MODELS, {"hours": hours})
