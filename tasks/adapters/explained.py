"""A decision read back, explained."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from models.errors import NotFound
from models.explained import explanation_parts
from models.request import RoutingRequest
from models.waiting import WAITING
from tasks.adapters.decisions import attempt_result
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.decisions import read_decision
from tasks.adapters.store.feedback import read_feedback


async def explained_decision(opened: Runtime, decision_id: UUID) -> dict[str, Any]:
    """Return the decision with its reasons, what was considered, its attempts and snapshot."""
    row = await read_decision(opened.database, decision_id)
    if row is None:
        raise NotFound(f"there is no decision {decision_id}")
    attempts = await opened.ledger.attempts(decision_id)
    plan = row["plan"] or {}
    document = {
        "decision_id": row["id"],
        "status": row["status"],
        "task_id": row["task_id"],
        "task_type": row["task_type"],
        "complexity": row["complexity"],
        "policy": row["policy_name"],
        "policy_version": row["policy_version"],
        "worker_id": row["worker_id"],
        "trace": row["trace"],
        "simulated": row["simulated"],
        "flow_run_id": row["flow_run_id"],
        "reused_from": row["reused_from"],
        "created_at": row["created_at"],
        "finished_at": row["finished_at"],
        "reasons": row["reasons"] or plan.get("reasons", []),
        "considered": plan.get("considered", []),
        "attempts": [attempt_result(attempt).model_dump(mode="json") for attempt in attempts],
        "feedback": await read_feedback(opened.database, decision_id),
        "snapshot": row["snapshot"],
        "plan": row["plan"],
        "texts": stored_texts(row),
    }
    return document | {"explanation": [part._asdict() for part in explanation_parts(document)]}


def stored_texts(row: dict[str, Any]) -> dict[str, Any] | None:
    """Return the messages and the answer of an ended decision; None unless its prompt is stored.

    A request that waits, or is under way, is kept to be gone on with, not to be shown.
    """
    if row["request"] is None or row["finished_at"] is None or row["status"] in WAITING:
        return None
    request = RoutingRequest.model_validate(row["request"])
    content = (row["result"] or {}).get("content")
    return {"messages": request.chat_messages(), "content": content}
