"""Asynchronous batches: POST, GET and DELETE /batches, with OpenRouter's discount.

Shapes are those of the official SDK (`openrouter` 1.3.84, `components/batch*.py`). An item's usage
states tokens only there; what a batch cost stands in the batch's own `usage.cost`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from deployments.simulator.access import bearer_key
from deployments.simulator.chat_request import parse_chat_request, parse_object
from deployments.simulator.completion import Completion, charge_for, complete
from deployments.simulator.documents import answer_document
from deployments.simulator.faults import BATCH_PATH, REFUSALS, Fault, FaultRule, Subject
from deployments.simulator.refusals import (
    Details,
    Refusal,
    error_body,
    invalid_request,
    refusal_of,
)
from deployments.simulator.routing import find_route, listed_model
from deployments.simulator.simulator import Simulator
from deployments.simulator.wire import Json, to_json

ENDPOINT = "/v1/chat/completions"
OVER = frozenset({"completed", "failed", "expired", "cancelled"})
WINDOW_S = 24 * 3600


@dataclass(slots=True)
class SimulatedBatch:
    """One batch; `answered` items are worked off before it ends as `ends_as`."""

    batch_id: str
    key: str
    model_id: str
    requests: list[Json]
    created: datetime
    ready: datetime
    answered: int
    ends_as: str = "completed"
    status: str = "validating"
    provider: str | None = None
    results: list[Json] | None = None
    usage: Json | None = None
    finalized: datetime | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"completed": 0, "failed": 0})


async def create_batch(request: Request) -> Response:
    """Take a batch and answer 202, or raise a Refusal."""
    simulator: Simulator = request.app.state.simulator
    key = bearer_key(request)
    payload = parse_object(await request.body())
    requests = requests_of(payload)
    model_id = str(payload.get("model"))
    listed_model(simulator, model_id)
    rule = simulator.faults.fire(Subject(BATCH_PATH, request.headers, model_id))
    if rule is not None and rule.fault in REFUSALS:
        raise refusal_of(rule.fault, Details(now=simulator.config.clock(), model=model_id), rule)
    batch = new_batch(simulator, key, model_id, requests, rule)
    simulator.batches[batch.batch_id] = batch
    return answer(document_of(batch), 202)


def new_batch(
    simulator: Simulator, key: str, model_id: str, requests: list[Json], rule: FaultRule | None
) -> SimulatedBatch:
    """Return a batch that will be worked off after the configured time."""
    now = simulator.config.clock()
    expires = rule is not None and rule.fault is Fault.BATCH_EXPIRES
    share = rule.at if rule is not None and expires else 1.0
    return SimulatedBatch(
        batch_id=f"batch_{secrets.token_hex(12)}",
        key=key,
        model_id=model_id,
        requests=requests,
        created=now,
        ready=now + timedelta(seconds=simulator.config.batch_seconds),
        answered=int(len(requests) * share),
        ends_as="expired" if expires else "completed",
    )


def requests_of(payload: Json) -> list[Json]:
    """Return the requests of a submit body; raise the 400 of one that is none."""
    requests = payload.get("requests")
    if payload.get("endpoint") != ENDPOINT:
        raise invalid_request(f"endpoint: only {ENDPOINT} is simulated")
    if payload.get("completion_window", "24h") != "24h":
        raise invalid_request("completion_window: only 24h")
    if not isinstance(requests, list) or not requests:
        raise invalid_request("requests: Invalid input: expected a list")
    bodies = [one.get("body") if isinstance(one, dict) else None for one in requests]
    if not all(isinstance(body, dict) for body in bodies):
        raise invalid_request("requests: each has a custom_id and a body")
    names = [one.get("custom_id") for one in requests]
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise invalid_request("requests: custom_id must be unique")
    if any(body.get("stream") for body in bodies if body is not None):
        raise invalid_request("requests: a batch does not stream")
    return requests


async def show_batch(request: Request) -> Response:
    """Answer with a batch, its results inside once it is over."""
    simulator: Simulator = request.app.state.simulator
    return answer(document_of(found_batch(simulator, request)))


async def list_batches(request: Request) -> Response:
    """Answer with the key's batches, newest first, without results."""
    simulator: Simulator = request.app.state.simulator
    key = bearer_key(request)
    limit = int(request.query_params.get("limit", "20"))
    batches = [one for one in reversed(simulator.batches.values()) if one.key == key]
    ids = [one.batch_id for one in batches]
    after = request.query_params.get("after")
    begin = ids.index(after) + 1 if after in ids else 0
    page = batches[begin : begin + limit]
    for batch in page:
        move_on(simulator, batch, request.headers)
    return answer(
        {
            "object": "list",
            "data": [document_of(one) | {"results": None} for one in page],
            "first_id": page[0].batch_id if page else None,
            "last_id": page[-1].batch_id if page else None,
            "has_more": len(batches) > begin + limit,
        }
    )


async def delete_batch(request: Request) -> Response:
    """Forget a batch that is over; one in progress answers 409."""
    simulator: Simulator = request.app.state.simulator
    batch = found_batch(simulator, request)
    if batch.status not in OVER:
        body = error_body(409, "The batch is still in progress", {})
        raise Refusal(409, to_json(body), {"content-type": "application/json"})
    del simulator.batches[batch.batch_id]
    deletion: Json = {"openrouter": "deleted"}
    if batch.provider is not None:
        deletion["upstream"] = {"provider": batch.provider, "status": "deleted"}
    return answer({"id": batch.batch_id, "object": "batch", "deletion": deletion})


def found_batch(simulator: Simulator, request: Request) -> SimulatedBatch:
    """Return the batch of the path, brought up to now; raise the 404 of an unknown one."""
    key = bearer_key(request)
    batch = simulator.batches.get(request.path_params["id"])
    if batch is None or batch.key != key:
        body = error_body(404, "Batch not found", {"error_type": "not_found"})
        raise Refusal(404, to_json(body), {"content-type": "application/json"})
    move_on(simulator, batch, request.headers)
    return batch


def move_on(simulator: Simulator, batch: SimulatedBatch, headers: Mapping[str, str]) -> None:
    """Work the batch off when its time has come: charges first, then results."""
    if batch.status in OVER:
        return
    if simulator.config.clock() < batch.ready:
        batch.status = "in_progress"
        return
    results, costs, tokens = list[Json](), Decimal(0), [0, 0]
    for one in batch.requests[: batch.answered]:
        result, completion = worked_off(simulator, batch, one, headers)
        results.append(result)
        batch.counts["failed" if result["error"] else "completed"] += 1
        if completion is not None:
            batch.provider = completion.route.provider.name
            costs += completion.bill.cost
            tokens[0] += completion.bill.tokens.prompt
            tokens[1] += completion.bill.tokens.completion
    batch.results, batch.status = results, batch.ends_as
    batch.finalized = simulator.config.clock()
    batch.usage = {
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "total_tokens": sum(tokens),
        "cost": costs,
    }


def worked_off(
    simulator: Simulator, batch: SimulatedBatch, one: Json, headers: Mapping[str, str]
) -> tuple[Json, Completion | None]:
    """Return the result of one item and what was charged for it, at the discount, if anything."""
    result: Json = {"id": f"batch_req_{secrets.token_hex(8)}", "custom_id": one["custom_id"]}
    try:
        asked = parse_chat_request(to_json(one["body"] | {"model": batch.model_id}))
        completion = complete(simulator, asked, find_route(simulator, asked, headers))
    except Refusal as refusal:
        return result | {"response": None, "error": item_error(refusal)}, None
    bill = completion.bill.times(1 - simulator.config.batch_discount)
    completion = replace(completion, bill=bill)
    simulator.log.append(charge_for(completion, asked, batch.key))
    charged = completion.route.refusal(simulator)
    if charged is not None:
        return result | {"response": None, "error": item_error(charged)}, completion
    body = body_of(completion, headers, states_cost=simulator.config.batch_item_costs)
    response = {"status_code": 200, "request_id": completion.generation_id, "body": body}
    return result | {"response": response, "error": None}, completion


def item_error(refusal: Refusal) -> Json:
    """Return a refused item's error."""
    error: Json = orjson.loads(refusal.body)["error"]
    kind = error.get("metadata", {}).get("error_type", "unmapped")
    return {"message": error["message"], "param": None, "type": kind, "error_type": kind}


def body_of(completion: Completion, headers: Mapping[str, str], *, states_cost: bool) -> Json:
    """Return an item's chat completion; its usage has no cost unless that is configured."""
    body = answer_document(completion, headers)
    if not states_cost:
        usage = body.get("usage") or {}
        for name in ("cost", "is_byok", "cost_details"):
            usage.pop(name, None)
    return body


def document_of(batch: SimulatedBatch) -> Json:
    """Return the batch object."""
    created = int(batch.created.timestamp())
    return {
        "id": batch.batch_id,
        "object": "batch",
        "endpoint": ENDPOINT,
        "model": batch.model_id,
        "provider": batch.provider,
        "status": batch.status,
        "completion_window": "24h",
        "created_at": created,
        "expires_at": created + WINDOW_S,
        "finalized_at": batch.finalized and int(batch.finalized.timestamp()),
        "request_counts": batch.counts | {"total": len(batch.requests)},
        "error": None,
        "results": batch.results,
        "usage": batch.usage,
    }


def answer(document: Any, status: int = 200) -> Response:  # Any: JSON
    """Return a document as a response."""
    return Response(to_json(document), status, media_type="application/json")
