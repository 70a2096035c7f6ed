"""Decisions of the policy `code` as the ledger would have left them, for evidence by the dozen."""

from __future__ import annotations

from tasks.adapters.runtime import Runtime


async def recorded(
    runtime: Runtime, version: int, right: int, wrong: int, usd: str = "0.01"
) -> None:
    """Add decisions of a version; a wrong one has failed."""
    await runtime.database.execute(
        """
        WITH made AS (
            INSERT INTO routing_decisions
                (id, request_hash, policy_name, policy_version, status, trace)
            SELECT gen_random_uuid(), 'h', 'code', %(version)s,
                   CASE WHEN n <= %(right)s THEN 'completed' ELSE 'failed' END, 'ledger'
            FROM generate_series(1, %(right)s + %(wrong)s) AS n RETURNING id, status
        )
        INSERT INTO model_selections
            (decision_id, attempt_no, idempotency_key, request_hash, state, owner, token,
             lease_expires_at, budget_ids, hold_amounts, selected_model, estimated_cost,
             actual_cost, success, outcome, settled_at)
        SELECT id, 1, id || '/1', 'h', 'SETTLED', 'test', gen_random_uuid(), now(), '{}', '{}',
               'm/x', %(usd)s, %(usd)s, status = 'completed',
               CASE status WHEN 'completed' THEN 'ok' ELSE 'failed' END, now()
        FROM made
        """,
        {"version": version, "right": right, "wrong": wrong, "usd": usd},
    )
