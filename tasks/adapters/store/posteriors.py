"""What the recorded outcomes teach as of an hour, and which kinds of work each policy serves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from models.learning.checks import TRUE_CHECK, Check
from models.learning.kinds import Kind
from models.learning.posteriors import CELL_SUMS, DISCOUNT, Cell, Posteriors
from tasks.adapters.database import Database
from tasks.adapters.store.outcomes import USES_MAX

HOURS_MAX = 24 * 180
HALF_LIFE_H = 7 * 24

KNOWN = """
-- Everything known of each cell today: an hour weighs discount^(outcomes after it), and half for
-- each week of hours after it in which the cell was not used.
SELECT model_id, task_type, complexity, failed_before,
       sum(weight * kept) AS weight, sum(successes * kept) AS successes,
       sum(cost_usd * kept) AS cost_usd, sum(timed * kept) AS timed,
       sum(latency_ms * kept) AS latency_ms, sum(told_weight * kept) AS told_weight,
       sum(told_successes * kept) AS told_successes
FROM (
    SELECT h.*, power(%(discount)s::float8, h.later::float8)
                * power(0.5::float8,
                        greatest(0, h.hours_ago - h.used_later) / %(half_life_h)s::float8) AS kept
    FROM (
        SELECT l.*, extract(epoch FROM date_trunc('hour', %(now)s::timestamptz, 'UTC')
                                       - l.window_start)::float8 / 3600 AS hours_ago,
               coalesce(sum(l.outcomes) OVER later, 0) AS later,
               count(*) OVER later AS used_later
        FROM learned_hours l
        WHERE l.window_start > %(now)s::timestamptz - make_interval(hours => %(hours_max)s)
        WINDOW later AS (
            PARTITION BY l.model_id, l.task_type, l.complexity, l.failed_before
            ORDER BY l.window_start DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) AS h
    WHERE h.later < %(uses_max)s
) AS weighed
GROUP BY model_id, task_type, complexity, failed_before
"""

SEEN = """
SELECT policy_name, task_type, complexity, sum(total_requests)::int AS requests
FROM model_performance
WHERE window_start > %(now)s::timestamptz - make_interval(hours => %(hours_max)s)
  AND policy_name IS NOT NULL AND task_type IS NOT NULL
GROUP BY policy_name, task_type, complexity ORDER BY requests DESC
"""


async def read_posteriors(
    database: Database, now: datetime, check: Check = TRUE_CHECK
) -> Posteriors:
    """Return everything that the recorded outcomes teach, as of an hour.

    `check` says how far what only a check vouches for is trusted.
    """
    values = {
        "now": now,
        "discount": DISCOUNT,
        "uses_max": USES_MAX,
        "hours_max": HOURS_MAX,
        "half_life_h": HALF_LIFE_H,
    }
    async with database.patient_transaction() as connection:
        rows = await (await connection.execute(KNOWN, values)).fetchall()
    cells = {
        (row["model_id"], Kind(row["task_type"], row["complexity"], row["failed_before"])): Cell(
            *(row[name] for name in CELL_SUMS)
        )
        for row in rows
    }
    return Posteriors(DISCOUNT, cells, check)


async def read_kinds(database: Database, now: datetime) -> dict[str, Sequence[Kind]]:
    """Return the kinds of work that each policy served lately, the most frequent first."""
    async with database.patient_transaction() as connection:
        cursor = await connection.execute(SEEN, {"now": now, "hours_max": HOURS_MAX})
        rows = await cursor.fetchall()
    found: dict[str, dict[Kind, None]] = {}
    for row in rows:
        kinds = found.setdefault(row["policy_name"], {})
        kinds.setdefault(Kind(row["task_type"]))
        if row["complexity"] is not None:
            kinds.setdefault(Kind(row["task_type"], row["complexity"]))
    return {name: tuple(kinds) for name, kinds in found.items()}
