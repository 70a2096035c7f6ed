"""How far a policy's checks can be trusted: what feedback said of answers that were checked.

Feedback of an attempt audits what the check said of it, feedback of a decision the answer that was
given; the score is how right the answer was, so that 0.75 counts as three quarters of a right one.
"""

from __future__ import annotations

from typing import Any

from models.learning.agreements import Agreements
from models.learning.checks import Agreement, Check, CheckAudits
from tasks.adapters.database import Database

AUDITED_MAX = 10_000  # newest audits, or pairs of answers, that are looked at

AUDITS = """
-- Of each checked answer that somebody scored: what its check said, and how right it was. A line of
-- a batch has its group's snapshot.
WITH scored AS (
    SELECT s.outcome = 'ok' AS accepted, coalesce(own.score, whole.score) AS score
    FROM (SELECT DISTINCT decision_id, max(created_at) OVER (PARTITION BY decision_id) AS at
          FROM decision_feedback) AS given
    JOIN routing_decisions d ON d.id = given.decision_id
    LEFT JOIN routing_decisions leader ON leader.id = d.planned_with
    JOIN model_selections s ON s.decision_id = d.id AND s.outcome IN ('ok', 'rejected_answer')
    LEFT JOIN decision_feedback own
      ON own.decision_id = d.id AND own.attempt_no = s.attempt_no
    LEFT JOIN decision_feedback whole
      ON whole.decision_id = d.id AND whole.attempt_no IS NULL AND s.outcome = 'ok'
    WHERE (%(policy)s::text IS NULL OR s.policy_name = %(policy)s)
      AND (coalesce(d.snapshot, leader.snapshot) #>> '{features,checked}')::boolean
      AND coalesce(own.score, whole.score) IS NOT NULL
    ORDER BY given.at DESC LIMIT %(most)s
)
SELECT accepted, sum(score)::float8 AS right, sum(1 - score)::float8 AS wrong
FROM scored GROUP BY accepted
"""

PAIRS = """
-- Two models that were asked the same at once: whether they gave the same answer (then no third one
-- was asked), and what was said of it.
WITH asked AS (
    SELECT one.selected_model AS first, two.selected_model AS second,
           NOT EXISTS (SELECT FROM model_selections third
                        WHERE third.decision_id = d.id AND third.attempt_no > 2)
           AND one.outcome = 'ok' AND two.outcome = 'ok' AS agreed,
           coalesce(own.score, whole.score) AS score
    FROM routing_decisions d
    LEFT JOIN routing_decisions leader ON leader.id = d.planned_with
    JOIN model_selections one ON one.decision_id = d.id AND one.attempt_no = 1
     AND one.outcome IN ('ok', 'rejected_answer')
    JOIN model_selections two ON two.decision_id = d.id AND two.attempt_no = 2
     AND two.outcome IN ('ok', 'rejected_answer')
    LEFT JOIN decision_feedback own ON own.decision_id = d.id AND own.attempt_no = 1
    LEFT JOIN decision_feedback whole ON whole.decision_id = d.id AND whole.attempt_no IS NULL
    WHERE one.policy_name = %(policy)s
      AND coalesce(d.plan, leader.plan) @> '{"chain": {"check": "agreement", "is_followed": true}}'
    ORDER BY d.created_at DESC LIMIT %(most)s
)
SELECT first, second,
       coalesce(sum(score) FILTER (WHERE agreed), 0)::float8 AS agreed_right,
       coalesce(sum(1 - score) FILTER (WHERE agreed), 0)::float8 AS agreed_wrong,
       (count(*) FILTER (WHERE agreed AND score IS NULL))::float8 AS agreed_unknown,
       (count(*) FILTER (WHERE NOT agreed))::float8 AS disagreed
FROM asked GROUP BY first, second
"""


async def read_check(database: Database, policy: str | None) -> Check:
    """Return the measured rates of a policy's `accept` checks, or with None of all policies."""
    return (await read_audits(database, policy)).check()


async def read_audits(database: Database, policy: str | None) -> CheckAudits:
    """Return the counts behind the rates."""
    values: dict[str, Any] = {"policy": policy, "most": AUDITED_MAX}
    audits = CheckAudits()
    for row in await database.fetch_all(AUDITS, values):
        audits.record(accepted=row["accepted"], right=True, times=row["right"])
        audits.record(accepted=row["accepted"], right=False, times=row["wrong"])
    return audits


async def read_agreements(database: Database, policy: str) -> Agreements:
    """Return how each pair of models that a policy has asked at once has agreed."""
    rows = await database.fetch_all(PAIRS, {"policy": policy, "most": AUDITED_MAX})
    return {
        (row["first"], row["second"]): Agreement(
            agreed_right=row["agreed_right"],
            agreed_wrong=row["agreed_wrong"],
            disagreed=row["disagreed"],
            agreed_unknown=row["agreed_unknown"],
        )
        for row in rows
    }
