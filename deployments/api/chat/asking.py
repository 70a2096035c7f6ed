"""From an OpenAI-style chat request to a request of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from deployments.api.access import Principal
from deployments.api.problems import ApiProblem, validation_problem
from models.request import RoutingRequest

AUTO = "auto"
POLICY = "policy:"
DEPTH_MAX = 64
Json = dict[str, Any]  # documents of the wire
PASSED = ("messages", "temperature", "tools", "tool_choice", "response_format")
OURS = frozenset(
    {*PASSED, "model", "stream", "stream_options", "n", "metadata"}
    | {"max_tokens", "max_completion_tokens"}
)
# What metadata may say to us; the rest of it goes on to the upstream.
SAID = {
    "task_type": "task_type",
    "worker": "worker_id",
    "worker_id": "worker_id",
    "idempotency_key": "idempotency_key",
    "policy": "policy",
    "task_id": "task_id",
    "step": "step",
    "max_cost_usd": "max_cost_usd",
    "on_exhausted": "on_exhausted",
    "deadline_s": "deadline_s",
    "priority": "priority",
    "approval_above_usd": "approval_above_usd",
}
HEADERS = {
    "x-switchyard-task-type": "task_type",
    "x-switchyard-worker": "worker_id",
    "x-switchyard-idempotency-key": "idempotency_key",
}
TRACE_HEADER = "x-switchyard-trace"


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """What a chat client wants: the request, as a stream or whole, in which lane."""

    request: RoutingRequest
    stream: bool
    trace: str | None


def read_chat(body: bytes, headers: Mapping[str, str], caller: Principal) -> ChatAsked:
    """Return what the body and the headers ask for; headers win over `metadata`.

    Unknown fields are passed on to the upstream. Raises 400 for what cannot be asked.
    """
    document = _document(body)
    metadata = _metadata(document)
    fields: Json = {SAID[name]: value for name, value in metadata.items() if name in SAID}
    fields |= {name: headers[header] for header, name in HEADERS.items() if header in headers}
    fields |= {name: document[name] for name in PASSED if document.get(name) is not None}
    fields |= _model(document.get("model", AUTO))
    if (most := _most_tokens(document)) is not None:
        fields["max_tokens"] = most
    if caller.worker_id is not None:
        fields["worker_id"] = caller.worker_id
    fields["tenant"] = caller.tenant
    fields["extra_body"] = _passed_on(document, metadata)
    try:
        request = RoutingRequest.model_validate(fields)
    except ValidationError as error:
        raise validation_problem(list(error.errors())) from None
    trace = headers.get(TRACE_HEADER) or metadata.get("trace")
    return ChatAsked(request, _flag(document, "stream"), trace)


def _document(body: bytes) -> Json:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiProblem(400, f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ApiProblem(400, "the body is not a JSON object")
    if document.get("messages") is None:
        raise ApiProblem(400, "messages: is missing")
    _demand_contents(document["messages"])
    if document.get("n") not in (None, 1):
        raise ApiProblem(400, "n: one choice is what is budgeted and answered")
    if _depth(document) > DEPTH_MAX:
        raise ApiProblem(400, f"the body is nested deeper than {DEPTH_MAX} levels")
    return document


def _demand_contents(messages: object) -> None:
    """Refuse contents that no model reads: neither text nor a list of typed parts."""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        parts = content if isinstance(content, list) else []
        known = all(isinstance(p, dict) and isinstance(p.get("type"), str) for p in parts)
        if not known or not isinstance(content, str | list | None):
            raise ApiProblem(400, "messages: a content is a text, or a list of parts with a type")


def _metadata(document: Json) -> Json:
    metadata = document.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise ApiProblem(400, "metadata: is not an object")
    if not isinstance(metadata.get("trace", ""), str):
        raise ApiProblem(400, "metadata.trace: is not a text")
    return metadata


def _model(model: object) -> Json:
    if not isinstance(model, str):
        raise ApiProblem(400, "model: is not a text")
    name = model.strip()
    if name in ("", AUTO):
        return {}
    if name.startswith(POLICY):
        return {"policy": name.removeprefix(POLICY)}
    return {"model": name}


def _most_tokens(document: Json) -> object:
    stated = [
        document[name]
        for name in ("max_completion_tokens", "max_tokens")
        if document.get(name) is not None
    ]
    return stated[0] if stated else None


def _passed_on(document: Json, metadata: Json) -> Json:
    extra = {
        name: value for name, value in document.items() if name not in OURS and value is not None
    }
    rest = {name: value for name, value in metadata.items() if name not in {*SAID, "trace"}}
    return {**extra, "metadata": rest} if rest else extra


def _flag(document: Json, name: str) -> bool:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiProblem(400, f"{name}: is not true or false")
    return bool(value)


def _depth(value: object) -> int:
    """Return how deep a document is nested, as far as it matters."""
    level, waiting = 0, [value]
    while waiting and level <= DEPTH_MAX:
        level += 1
        waiting = [
            part
            for one in waiting
            if isinstance(one, dict | list)
            for part in (one.values() if isinstance(one, dict) else one)
            if isinstance(part, dict | list)
        ]
    return level
