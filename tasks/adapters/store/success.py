"""The sums behind the success metrics, one row a period."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, get_args

from models.report import PeriodFacts, Report, report_of
from tasks.adapters.database import Database

ReportPeriod = Literal["day", "week", "month"]
PERIODS_MAX = 400
LENGTHS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
REPORT_PERIODS: tuple[ReportPeriod, ...] = get_args(ReportPeriod)

FACTS = """
-- Requests and their answer times from decisions, money and success from attempts, compliance from
-- the balances whose period ended inside (or is open now): kept means spent <= amount. A score
-- given later corrects success: half or more is one. Without an attempt it is about the answer.
WITH periods AS (
    SELECT starts AT TIME ZONE 'UTC' AS starts,
           (starts + ('1 ' || %(period)s)::interval) AT TIME ZONE 'UTC' AS ends
    FROM generate_series(date_trunc(%(period)s, %(since)s::timestamptz AT TIME ZONE 'UTC'),
                         (%(until)s::timestamptz AT TIME ZONE 'UTC') - interval '1 microsecond',
                         ('1 ' || %(period)s)::interval) AS starts
)
SELECT p.starts AS start, p.ends AS end, d.requests, d.latency_ms_avg, a.cost_usd, a.attempts,
       a.successes, b.budgets, b.budgets_kept, d.by_policy
FROM periods p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(n), 0)::int AS requests, coalesce(array_agg(n), '{}') AS by_policy,
           (sum(latency * answered) / nullif(sum(answered), 0))::float8 AS latency_ms_avg
    FROM (SELECT count(*)::int AS n,
                 count(*) FILTER (WHERE q.status = 'completed') AS answered,
                 coalesce(avg((q.result ->> 'latency_ms')::numeric)
                          FILTER (WHERE q.status = 'completed'), 0) AS latency
          FROM routing_decisions q
          WHERE q.created_at >= p.starts AND q.created_at < p.ends
            AND q.status NOT IN ('selected', 'running')
          GROUP BY q.policy_name) AS policies) AS d
CROSS JOIN LATERAL (
    SELECT coalesce(sum(s.actual_cost), 0) AS cost_usd,
           count(*) FILTER (WHERE s.outcome IS NOT NULL AND s.sent_at IS NOT NULL)::int AS attempts,
           count(*) FILTER (WHERE coalesce(f.score >= 0.5, s.success))::int AS successes
    FROM model_selections s
    LEFT JOIN LATERAL (
        SELECT coalesce(min(g.score) FILTER (WHERE g.attempt_no IS NOT NULL), min(g.score)) AS score
        FROM decision_feedback g WHERE g.decision_id = s.decision_id
          AND (g.attempt_no = s.attempt_no OR (g.attempt_no IS NULL AND s.success))
    ) AS f ON s.sent_at IS NOT NULL
    WHERE s.created_at >= p.starts AND s.created_at < p.ends) AS a
CROSS JOIN LATERAL (
    SELECT count(*)::int AS budgets,
           count(*) FILTER (WHERE c.spent_amount <= c.budget_amount)::int AS budgets_kept
    FROM cost_budgets c
    WHERE c.definition_id IS NOT NULL AND c.period_start < p.ends
      AND (c.period_end IS NULL OR c.period_end > p.starts)) AS b
ORDER BY p.starts
"""


async def success_report(
    database: Database, since: datetime, until: datetime, period: ReportPeriod
) -> Report:
    """Return the report of a span: at least its last period, at most the last 400."""
    earliest = until - PERIODS_MAX * LENGTHS[period]
    start = min(max(since, earliest), until - timedelta(seconds=1))
    return report_of(await period_facts(database, start, until, period), period)


async def period_facts(
    database: Database, since: datetime, until: datetime, period: ReportPeriod
) -> list[PeriodFacts]:
    """Return the facts of every period of the span, oldest first; empty ones are there too."""
    rows = await database.fetch_all(FACTS, {"since": since, "until": until, "period": period})
    return [
        PeriodFacts(
            start=row["start"],
            end=row["end"],
            requests=row["requests"],
            cost_usd=row["cost_usd"],
            attempts=row["attempts"],
            successes=row["successes"],
            latency_ms_avg=row["latency_ms_avg"],
            budgets=row["budgets"],
            budgets_kept=row["budgets_kept"],
            requests_by_policy=tuple(row["by_policy"]),
        )
        for row in rows
    ]
