"""Answers that are given again: what makes two requests the same, and what may be kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from models.completion import Completion, Usage
from models.plan import OutKind, Plan
from models.policy import Policy
from models.request import RoutingRequest
from models.result import RoutingResult, Status

KEPT_REASONS = ("stop", "tool_calls")  # never an answer that was cut, filtered or broken off
# Money that is spent, and models that rest, do not matter to an answer that costs nothing.
_CURED = (OutKind.MONEY, OutKind.NO_BUDGET, OutKind.PAUSED)
_KEPT_FIELDS = {
    "model",
    "provider",
    "content",
    "message",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
}


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer of an earlier decision; `was_awaited` when it was under way at first."""

    decision_id: UUID
    answer: dict[str, Any]  # the fields of its result that make up the answer
    kept_at: datetime
    was_awaited: bool = False

    def completion(self) -> Completion:
        """Return the answer as if a model had given it now, for nothing."""
        answer = self.answer
        return Completion(
            model_id=answer["model"],
            provider=answer["provider"],
            content=answer["content"],
            message=answer["message"],
            finish_reason=answer["finish_reason"],
            native_finish_reason=None,
            usage=Usage(
                prompt_tokens=answer["prompt_tokens"],
                completion_tokens=answer["completion_tokens"],
            ),
            generation_id=None,
            latency_ms=0,
        )

    def reason(self) -> str:
        """Return in words where the answer comes from."""
        if self.was_awaited:
            return (
                f"the same was being asked: answered with the answer of decision {self.decision_id}"
            )
        since = self.kept_at.isoformat(timespec="seconds")
        return f"answered from the cache of decision {self.decision_id}, kept since {since}"


def answer_key(request: RoutingRequest, policy: Policy, plan: Plan) -> str | None:
    """Return what is equal for requests that one answer serves, as a SHA-256 in hex.

    None where the policy has no cache, or where its key needs a model and none is planned.
    """
    if policy.cache is None:
        return None
    model_id = request.model
    if policy.cache.scope == "model":
        if not plan.candidates:
            return None
        model_id = plan.candidates[0].model_id
    payer = None if policy.cache.shared else [request.tenant, request.worker_id]
    temperature = policy.temperature if request.temperature is None else request.temperature
    body = {
        "messages": request.chat_messages(),
        "temperature": temperature,
        "max_tokens": request.max_tokens,
        "response_format": request.response_format,
        "tools": request.tools,
        "tool_choice": request.tool_choice,
        "extra_body": request.extra_body,
        "accept": request.accept and request.accept.model_dump(mode="json"),
        "policy": [policy.name, policy.version],
        "payer": payer,
        "model": model_id,
    }
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def may_be_looked_up(plan: Plan) -> bool:
    """Say whether a kept answer may serve: only a refusal for money is cured by it."""
    return plan.refusal is None or plan.refusal.kind in _CURED


def may_lead(plan: Plan) -> bool:
    """Say whether the plan asks a model now, so that equal requests may wait for its answer."""
    return plan.refusal is None and not plan.needs_approval


def kept_answer(result: RoutingResult) -> dict[str, Any] | None:
    """Return what is kept of a result; None unless it is an answer that finished properly."""
    whole = result.status is Status.COMPLETED and result.finish_reason in KEPT_REASONS
    if not whole or result.cached or result.model is None:
        return None
    return result.model_dump(mode="json", include=_KEPT_FIELDS)
