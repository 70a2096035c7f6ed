"""What was spent, and what was saved against each policy's first model, and how.

docs/spending_less.md states the formula.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from tasks.adapters.database import Database
from tasks.adapters.store.reports import Span, page_of, span_parameters

CostGroup = Literal["day", "week", "month", "policy", "model", "worker", "task_type", "task"]
COST_GROUPS: tuple[CostGroup, ...] = get_args(CostGroup)
KINDS = ("downgrade", "cache", "duplicate", "escalation")

SPENT = """
-- Attempts with their bills. The one that answered carries the decision's saving: the price of the
-- same tokens at the first model, less all bills of the decision. Where the first model itself
-- answered, the price is its bill. Decisions that reuse an answer have no attempt, or lost ones.
WITH touched AS (
    SELECT DISTINCT s.decision_id FROM model_selections s
     WHERE s.created_at >= %(since)s AND s.created_at < %(until)s
), whole AS (  -- all attempts, whenever: parked work may go on after weeks, and be parked again
    SELECT o.decision_id, sum(o.actual_cost) AS paid_usd,
           max(o.attempt_no) FILTER (WHERE o.success) AS answer_no
      FROM touched JOIN model_selections o ON o.decision_id = touched.decision_id
     GROUP BY o.decision_id
), asked AS (
    SELECT s.decision_id, s.actual_cost AS cost_usd, s.created_at, s.policy_name AS policy,
           s.selected_model AS model, s.worker_id AS worker, s.task_type, s.task_id,
           CASE WHEN d.escalates THEN 'escalation' ELSE 'downgrade' END AS kind,
           CASE WHEN s.attempt_no = whole.answer_no THEN
               CASE WHEN s.selected_model = d.first_model THEN s.actual_cost ELSE
                    ledger.list_usd(coalesce(d.first_price, to_jsonb(listed)), s.prompt_tokens,
                                    s.completion_tokens, coalesce(s.cached_tokens, 0))
               END - whole.paid_usd
           END AS saved_usd
      FROM model_selections s
      LEFT JOIN routing_decisions d ON d.id = s.decision_id
      LEFT JOIN model_catalogue listed  -- for decisions that are older than stored prices
             ON d.first_price IS NULL AND listed.model_id = d.first_model
      JOIN whole ON whole.decision_id = s.decision_id
     WHERE s.created_at >= %(since)s AND s.created_at < %(until)s
), reused AS (
    SELECT d.id AS decision_id, 0::numeric AS cost_usd, d.created_at, d.policy_name AS policy,
           d.result ->> 'model' AS model, d.worker_id AS worker, d.task_type, d.task_id,
           d.reuse AS kind,
           ledger.list_usd(coalesce(d.first_price, to_jsonb(listed)),
                           (d.result ->> 'prompt_tokens')::bigint,
                           (d.result ->> 'completion_tokens')::bigint, 0)
           - coalesce((SELECT sum(o.actual_cost) FROM model_selections o
                        WHERE o.decision_id = d.id), 0) AS saved_usd
      FROM routing_decisions d
      LEFT JOIN model_catalogue listed
             ON d.first_price IS NULL AND listed.model_id = d.first_model
     WHERE d.reuse IS NOT NULL AND d.created_at >= %(since)s AND d.created_at < %(until)s
), spent AS (
    SELECT decision_id, cost_usd, saved_usd, kind, CASE %(group_by)s
               WHEN 'day' THEN to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
               WHEN 'week' THEN to_char(created_at AT TIME ZONE 'UTC', 'IYYY-"W"IW')
               WHEN 'month' THEN to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM')
               WHEN 'policy' THEN policy WHEN 'model' THEN model WHEN 'worker' THEN worker
               WHEN 'task_type' THEN task_type WHEN 'task' THEN task_id::text
           END AS key
      FROM (SELECT * FROM asked UNION ALL SELECT * FROM reused) AS every
     WHERE (%(policy)s::text IS NULL OR policy = %(policy)s)
       AND (%(model)s::text IS NULL OR model = %(model)s)
       AND (%(worker)s::text IS NULL OR worker = %(worker)s)
       AND (%(task_type)s::text IS NULL OR task_type = %(task_type)s)
)
"""

SUMS = """
       count(DISTINCT decision_id)::int AS requests,
       round(coalesce(sum(saved_usd), 0), 12) AS saved_usd,
       round(coalesce(sum(saved_usd) FILTER (WHERE kind = 'downgrade'), 0), 12) AS downgrade,
       round(coalesce(sum(saved_usd) FILTER (WHERE kind = 'cache'), 0), 12) AS cache,
       round(coalesce(sum(saved_usd) FILTER (WHERE kind = 'duplicate'), 0), 12) AS duplicate,
       round(coalesce(sum(saved_usd) FILTER (WHERE kind = 'escalation'), 0), 12) AS escalation
"""

TOTALS = SPENT + "SELECT coalesce(sum(cost_usd), 0) AS total_cost_usd," + SUMS + "FROM spent"

COSTS = (
    SPENT
    + "SELECT coalesce(key, '-') AS key, coalesce(sum(cost_usd), 0) AS cost_usd,"
    + SUMS
    + """
FROM spent WHERE %(after)s::text IS NULL OR coalesce(key, '-') > %(after)s
GROUP BY 1 ORDER BY 1 LIMIT %(limit)s
"""
)


async def cost_report(
    database: Database, span: Span, group_by: CostGroup, *, after: str | None, limit: int
) -> dict[str, Any]:
    """Return the costs document: totals of the whole span, and a page of groups."""
    async with database.patient_transaction() as connection:
        cursor = await connection.execute(TOTALS, span_parameters(span, "total", None, 1))
        (totals,) = await cursor.fetchall()
        values = span_parameters(span, group_by, after, limit + 1)
        groups = await (await connection.execute(COSTS, values)).fetchall()
    page = page_of([_by_kind(group) for group in groups], limit)
    return _by_kind(totals) | page


def _by_kind(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with its savings by kind in a part of their own."""
    kinds = {kind: row[kind] for kind in KINDS}
    return {name: value for name, value in row.items() if name not in kinds} | {
        "saved_by_kind": kinds
    }
