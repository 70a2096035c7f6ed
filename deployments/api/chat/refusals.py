"""Why there is no answer, as an HTTP status that OpenAI's clients act on rightly.

A status that they repeat (429, 5xx) is used only where asking again may help; `x-should-retry`
stops the official SDK where every model has been tried already.
"""

from __future__ import annotations

from deployments.api.chat.answers import chosen_headers
from deployments.api.problems import ApiProblem
from models.result import RoutingResult, Status
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.decisions import read_decision
from tasks.adapters.store.listings import failure_kinds

NO_RETRY = {"x-should-retry": "false"}
REFUSED = {
    "money": 402,
    "no_budget": 402,
    "context": 400,
    "ability": 404,
    "unbounded": 400,
    "none_active": 404,
    "price": 503,
    "circuit": 503,
    "paused": 402,
}
FAILED = {
    "busy": 429,
    "account_limit": 429,
    "in_flight_limit": 429,
    "account_money": 402,
    "too_expensive": 402,
    "bad_request": 400,
    "model_unsuitable": 400,
}


# status, kind of refusal, headers, and the plan's own words
Classified = tuple[int, str | None, dict[str, str], str | None]


async def refusal_of(opened: Runtime, result: RoutingResult, *, asked: bool) -> ApiProblem:
    """Return the problem of a request without an answer; `asked` when it named a model."""
    headers = chosen_headers(result.decision_id, result.policy, result.model or "")
    status, kind, extra, why = await _classified(opened, result)
    if status == 404 and kind == "none_active" and not asked:
        status = 503
    why = why or (result.reasons[-1] if result.reasons else "no reason is known")
    return ApiProblem(
        status,
        f"{result.status.value.replace('_', ' ')}: {why}",
        headers=headers | extra,
        decision_id=str(result.decision_id),
        kind=kind,
    )


async def _classified(opened: Runtime, result: RoutingResult) -> Classified:
    if result.status in (Status.PARKED, Status.AWAITING_APPROVAL):
        return 402, result.status.value, NO_RETRY, None
    if result.status is Status.REJECTED:
        return await _rejected(opened, result)
    kinds = await failure_kinds(opened.database, result.decision_id)
    if not kinds:
        return 504, "timeout", NO_RETRY, None
    status = FAILED.get(kinds[-1], 502)
    return status, None, {"Retry-After": "5"} if status == 429 else NO_RETRY, None


async def _rejected(opened: Runtime, result: RoutingResult) -> Classified:
    row = await read_decision(opened.database, result.decision_id)
    plan = (row or {}).get("plan") or {}
    refusal = plan.get("refusal") or {}
    kind = refusal.get("kind", "money")
    status = REFUSED.get(kind, 402)
    headers = {"Retry-After": "30"} if status == 503 else NO_RETRY
    return status, kind, headers, refusal.get("message")
