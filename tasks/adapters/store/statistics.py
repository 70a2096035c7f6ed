"""How each model did lately, read for a decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.adapters.database import Database

RECENT = """
-- The last attempts of each model that say something about its health, newest first: what was
-- never sent, or was refused for our own account, says nothing.
SELECT wanted.model_id,
       count(recent.*)::int AS attempts,
       count(*) FILTER (WHERE recent.success)::int AS successes,
       count(*) FILTER (WHERE recent.fresh)::int AS fresh_attempts,
       count(*) FILTER (WHERE recent.fresh AND NOT recent.success)::int AS fresh_failures,
       coalesce(min(recent.position) FILTER (WHERE recent.success) - 1, count(recent.*))::int
           AS consecutive_failures,
       max(recent.created_at) FILTER (WHERE NOT recent.success) AS last_failed_at,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY recent.response_time_ms)
           FILTER (WHERE recent.success) AS latency_p95_ms
FROM unnest(%(ids)s::text[]) AS wanted(model_id)
LEFT JOIN LATERAL (
    SELECT s.created_at, s.response_time_ms, coalesce(s.success, false) AS success,
           s.created_at > now() - interval '5 minutes' AS fresh,
           row_number() OVER (ORDER BY s.created_at DESC) AS position
    FROM model_selections s
    WHERE s.selected_model = wanted.model_id AND s.created_at > now() - interval '1 day'
      AND s.outcome IS NOT NULL
      AND coalesce(s.error_kind, '') NOT IN
          ('account_limit', 'account_money', 'in_flight_limit', 'too_expensive', 'access_denied',
           'bad_request', 'model_unsuitable', 'cancelled', 'interrupted', 'answer_rejected')
    ORDER BY s.created_at DESC LIMIT 50
) AS recent ON true
GROUP BY wanted.model_id
"""


async def recent_statistics(
    database: Database, model_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the columns above by model id; a model never used has zeros."""
    rows = await database.fetch_all(RECENT, {"ids": list(model_ids)})
    return {row["model_id"]: row for row in rows}
