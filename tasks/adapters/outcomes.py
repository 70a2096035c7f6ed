"""Results read back: with the bills that came later, and for callers who went away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from models.attempt import AttemptState
from models.errors import NotFound
from models.money import ZERO_USD
from models.result import AttemptResult, RoutingResult, Status
from tasks.adapters.decisions import attempt_result
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.decisions import read_decision

ABANDON = """
-- A decision whose caller went away before its end; what its attempts cost stays in their rows.
UPDATE routing_decisions SET
    status = 'failed', reasons = %(reasons)s, result = %(result)s, finished_at = now(),
    request = CASE WHEN (snapshot #>> '{policy,store_prompts}')::boolean THEN request END
WHERE id = %(id)s AND status = 'running'
"""


async def current_result(opened: Runtime, decision_id: UUID) -> RoutingResult | dict[str, Any]:
    """Return the result, its costs as known by now; of work under way the row. Raises NotFound."""
    row = await read_decision(opened.database, decision_id)
    if row is None:
        raise NotFound(f"there is no decision {decision_id}")
    if row["result"] is None:
        return row
    result = RoutingResult.model_validate(row["result"])
    if all(attempt.cost_usd is not None for attempt in result.attempts):
        return result
    return await _with_costs(opened, result)


async def abandon(opened: Runtime, decision_id: UUID, reason: str) -> None:
    """End a decision that nobody waits for any more; its money is settled by its own rules."""
    row = await read_decision(opened.database, decision_id)
    if row is None or row["status"] != "running":
        return
    reasons = [*((row["plan"] or {}).get("reasons", [])), reason]
    result = RoutingResult(
        decision_id=decision_id,
        task_id=row["task_id"],
        worker_id=row["worker_id"],
        status=Status.FAILED,
        task_type=row["task_type"],
        complexity=row["complexity"],
        policy=row["policy_name"] or "-",
        policy_version=row["policy_version"] or 0,
        cost_usd=ZERO_USD,
        estimated_cost_usd=ZERO_USD,
        simulated=row["simulated"],
        reasons=reasons,
        flow_run_id=row["flow_run_id"],
    )
    result = await _with_costs(opened, result)
    values = {
        "id": decision_id,
        "reasons": Jsonb(reasons),
        "result": Jsonb(result.model_dump(mode="json")),
    }
    await opened.database.execute(ABANDON, values)


async def _with_costs(opened: Runtime, result: RoutingResult) -> RoutingResult:
    rows = await opened.ledger.attempts(result.decision_id)
    attempts = [attempt_result(row) for row in rows if row.state is not AttemptState.RESERVED]
    return result.model_copy(
        update={
            "attempts": attempts,
            "cost_usd": sum((a.cost_usd for a in attempts if a.cost_usd is not None), ZERO_USD),
            "estimated_cost_usd": sum((a.estimated_cost_usd for a in attempts), ZERO_USD),
            "model": result.model or _last_model(attempts),
        }
    )


def _last_model(attempts: list[AttemptResult]) -> str | None:
    return attempts[-1].model if attempts else None
