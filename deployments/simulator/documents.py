"""The JSON of answers: the whole one, and the chunks of a stream.

Fields and their order: openrouter.ai/docs, chat completions (2026-08-22), and captured answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from deployments.simulator.completion import Completion
from deployments.simulator.faults import Fault
from deployments.simulator.refusals import UPSTREAM, Details, error_body, filled
from deployments.simulator.usage import usage_document
from deployments.simulator.wire import Json, plain_text, to_json


def stated_usage(completion: Completion) -> Json | None:
    """Return the usage that the answer states, which some faults make differ from the bill."""
    usage = usage_document(completion.bill)
    route = completion.route
    if route.has_fault(Fault.NO_USAGE):
        return None
    if route.has_fault(Fault.NEGATIVE_COST):
        usage["cost"] = -completion.bill.cost
    if route.has_fault(Fault.COST_STRING):
        usage["cost"] = plain_text(completion.bill.cost)
    if route.has_fault(Fault.WRONG_TYPES):
        usage |= {"prompt_tokens": "many", "cost": ["free"]}
    return usage


def frame(completion: Completion, kind: str) -> Json:
    """Return the fields that an answer and every chunk begin with."""
    route = completion.route
    print_of = f"fp_{route.model.model_id.encode().hex()[-10:]}"
    return {
        "id": completion.generation_id,
        "provider": route.provider.name,
        "model": route.served_model,
        "object": kind,
        "created": int(completion.created.timestamp()),
        "system_fingerprint": print_of if route.provider.slug == "openai" else None,
        "service_tier": "default" if route.model.author == "openai" else None,
    }


def reasoning_details(text: str | None) -> list[Json]:
    """Return the reasoning once more, in the form that is sent back with tool results."""
    if text is None:
        return []
    return [{"type": "reasoning.summary", "summary": text, "format": "unknown", "index": 0}]


def message_of(completion: Completion) -> Json:
    """Return the assistant's message."""
    answer = completion.answer
    message: Json = {
        "role": "assistant",
        "content": answer.content,
        "refusal": None,
        "reasoning": answer.reasoning,
        "reasoning_details": reasoning_details(answer.reasoning),
    }
    if answer.tool_calls:
        message["tool_calls"] = [
            {"index": number, **call} for number, call in enumerate(answer.tool_calls)
        ]
    return message


def upstream_error(completion: Completion) -> Json:
    """Return the error of a provider that failed after it began."""
    details = Details(now=completion.created, provider=completion.route.provider.name)
    metadata = {"error_type": "provider_unavailable", **UPSTREAM}
    body = error_body(
        502, "Provider returned error", {k: filled(v, details) for k, v in metadata.items()}
    )
    error: Json = body["error"]
    return error


def answer_document(completion: Completion, headers: Mapping[str, str]) -> Json:
    """Return a whole answer."""
    route, answer = completion.route, completion.answer
    if route.has_fault(Fault.ERROR_IN_200):
        return {"error": upstream_error(completion), "user_id": "user_simulated"}
    choice: Json = {
        "index": 0,
        "finish_reason": answer.finish_reason,
        "native_finish_reason": completion.native_finish_reason,
        "logprobs": None,
        "message": message_of(completion),
    }
    if answer.finish_reason == "error":
        choice["error"] = upstream_error(completion)
    document = {**frame(completion, "chat.completion"), "choices": [choice]}
    usage = stated_usage(completion)
    if usage is not None:
        document["usage"] = usage
    if route.has_fault(Fault.WRONG_TYPES):
        document |= {"model": None, "choices": {"0": choice}}
    return with_routing_metadata(document, completion, headers)


def with_routing_metadata(
    document: Json, completion: Completion, headers: Mapping[str, str]
) -> Json:
    """Add `openrouter_metadata` when `X-OpenRouter-Metadata: enabled` asks for it."""
    if headers.get("x-openrouter-metadata") != "enabled":
        return document
    route = completion.route
    chosen = {"provider": route.provider.name, "model": route.served_model}
    document["openrouter_metadata"] = {
        "requested": route.requested_model,
        "strategy": "direct",
        "region": None,
        "summary": f"served by {route.provider.name}",
        "attempt": 1,
        "is_byok": completion.bill.is_byok,
        "endpoints": {"total": 1, "available": [{**chosen, "selected": True}]},
        "attempts": [{**chosen, "status": 200}],
    }
    return document


def answer_body(completion: Completion, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a whole answer; malformed JSON ends early."""
    body = to_json(answer_document(completion, headers))
    return body[: len(body) * 2 // 3] if completion.route.has_fault(Fault.MALFORMED_JSON) else body
