"""How each model did lately, from its windows of performance."""

from __future__ import annotations

from typing import Any

from tasks.adapters.database import Database

MODELS = """
SELECT p.model_name AS model, sum(p.total_requests)::int AS requests,
       sum(p.successful_requests)::int AS successes, sum(p.total_cost) AS cost_usd,
       (sum(p.avg_response_time_ms::bigint * p.successful_requests)
        / nullif(sum(p.successful_requests), 0))::int AS latency_ms_avg,
       max(p.p95_response_time_ms) AS latency_ms_p95,
       (sum(p.avg_tokens_used::bigint * p.successful_requests)
        / nullif(sum(p.successful_requests), 0))::int AS tokens_avg,
       sum(p.total_cost) / nullif(sum(p.successful_requests), 0) AS cost_per_success_usd,
       sum(p.satisfaction * p.rated_requests) / nullif(sum(p.rated_requests), 0) AS satisfaction
FROM model_performance p
WHERE p.window_start >= date_trunc('hour', now() - make_interval(hours => %(hours)s), 'UTC')
GROUP BY p.model_name ORDER BY requests DESC, p.model_name LIMIT 100
"""


async def model_windows(database: Database, hours: int) -> list[dict[str, Any]]:
    """Return how each model did in the last hours, busiest first."""
    return await database.fetch_all(MODELS, {"hours": hours})
