"""Rows of the ledger and scores, written at once: outcomes of models that nobody had to ask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID, uuid4

from deployments.lanes import run_in_lane
from models.policy import Policy, parse_policy
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.database import Database
from tasks.adapters.store.policies import apply_policies, read_policy

USUAL, OTHER = "openai/gpt-4o-mini", "openai/gpt-4o"

ENTRY = """
INSERT INTO model_selections (
    policy_name, selected_model, selected_provider, estimated_cost, actual_cost, tokens_used,
    response_time_ms, success, created_at, decision_id, attempt_no, idempotency_key, request_hash,
    state, owner, token, lease_expires_at, budget_ids, hold_amounts, task_type, complexity,
    sent_at, settled_at, settle_source, outcome, error_kind, finish_reason)
VALUES (%(policy)s, %(model)s, %(provider)s, coalesce(%(cost)s, 0.01), %(cost)s, 800,
        %(latency_ms)s, %(outcome)s = 'ok', %(at)s, %(decision_id)s, %(attempt_no)s,
        %(decision_id)s || '/' || %(attempt_no)s, 'h', 'SETTLED', 'tests', %(decision_id)s, %(at)s,
        '{}', '{}', %(task_type)s, %(complexity)s, %(at)s, %(settled_at)s, 'usage', %(outcome)s,
        %(error_kind)s, %(finish_reason)s)
"""

DECISION = """
INSERT INTO routing_decisions (id, request_hash, policy_name, status, created_at)
VALUES (%(decision_id)s, 'h', %(policy)s, 'completed', %(at)s) ON CONFLICT DO NOTHING
"""


async def write_outcomes(
    database: Database,
    outcomes: Sequence[bool | str],
    at: datetime,
    *,
    seconds: float = 1.0,
    **fields: Any,
) -> list[UUID]:
    """Write one attempt after another, `seconds` apart; true is a success, false a bad answer.

    Returns their decisions. Any column above can be given.
    """
    rows = [_row(outcome, at + timedelta(seconds=n * seconds)) | fields
            for n, outcome in enumerate(outcomes)]  # fmt: skip
    async with database.patient_transaction() as connection, connection.cursor() as cursor:
        await cursor.executemany(DECISION, rows)
        await cursor.executemany(ENTRY, rows)
    return [row["decision_id"] for row in rows]


def _row(outcome: bool | str, at: datetime) -> dict[str, Any]:
    said = outcome if isinstance(outcome, str) else ("ok" if outcome else "rejected_answer")
    return {
        "policy": "code",
        "model": "openai/gpt-4o-mini",
        "provider": "OpenAI",
        "cost": Decimal("0.0004"),
        "latency_ms": 900,
        "outcome": said,
        "at": at,
        "settled_at": at,
        "decision_id": uuid4(),
        "attempt_no": 1,
        "task_type": "fix_bug",
        "complexity": "moderate",
        "error_kind": "answer_rejected" if said == "rejected_answer" else None,
        "finish_reason": "stop",
    }


def drawn(rate: float, times: int, seed: int = 1) -> list[bool]:
    """So many outcomes of a model that is right at this rate."""
    draw = Random(seed)
    return [draw.random() < rate for _ in range(times)]


async def use_model(
    database: Database, model: str, rate: float, times: int, *, at: datetime
) -> None:
    """Let a model be asked so many times for a bug fix, a second apart, at its usual cost."""
    await write_outcomes(
        database, drawn(rate, times), at, settled_at=datetime.now(UTC), model=model,
        cost=Decimal("0.0003") if model == USUAL else Decimal("0.0050"),
    )  # fmt: skip


async def save_two_models(database: Database, **changes: Any) -> Policy:
    """Two models for bug fixes, at ten cents a success; any field can be given."""
    document = {
        "name": "code",
        "models": [{"model": USUAL, "priority": 1}, {"model": OTHER, "priority": 2}],
        "max_cost_per_task": "0.30",
        "success_value_usd": "0.10",
        "task_types": ["fix_bug"],
        "fallbacks": "any",
    } | changes
    await apply_policies(database, [parse_policy(document)], source="person", reason="tests")
    return await read_policy(database, "code")


async def ask(**fields: Any) -> RoutingResult:
    """Route one bug fix in the lane `ledger`."""
    request = RoutingRequest(prompt="Find the off-by-one and fix it.", task_type="fix_bug")
    return await run_in_lane(request.model_copy(update=fields), "ledger")
