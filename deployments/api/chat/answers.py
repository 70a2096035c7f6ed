"""Answers in OpenAI's shape, strict enough for both official SDKs.

Both need `system_fingerprint`, a known `finish_reason` and a `created` number; what is ours stands
in `switchyard`, which OpenAI's SDK keeps and OpenRouter's drops.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from models.completion import StreamDelta
from models.money import plain
from models.result import RoutingResult

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
Json = dict[str, Any]  # documents of the wire


def completion_document(result: RoutingResult, created: int) -> Json:
    """Return the chat completion of an answered request."""
    return {
        "id": answer_id(result.decision_id),
        "object": "chat.completion",
        "created": created,
        "model": result.model,
        "provider": result.provider,
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": _message(result),
                "finish_reason": finish_reason(result.finish_reason) or "stop",
                "logprobs": None,
            }
        ],
        "usage": usage_document(result),
        "switchyard": facts(result),
    }


def answer_id(decision_id: UUID) -> str:
    """Return the id that an answer carries."""
    return f"chatcmpl-{decision_id}"


def usage_document(result: RoutingResult) -> Json:
    """Return tokens and cost; the exact cost is in `switchyard` and the headers."""
    return {
        "prompt_tokens": result.prompt_tokens,
        "completion_tokens": result.completion_tokens,
        "total_tokens": result.prompt_tokens + result.completion_tokens,
        "cost": float(result.cost_usd),
    }


def facts(result: RoutingResult) -> Json:
    """Return what only we know: the decision, its policy, its cost and its reasons."""
    return {
        "decision_id": str(result.decision_id),
        "policy": result.policy,
        "task_type": result.task_type,
        "cost_usd": plain(result.cost_usd),
        "attempts": len(result.attempts),
        "cached": result.cached,
        "simulated": result.simulated,
        "flow_run_id": None if result.flow_run_id is None else str(result.flow_run_id),
        "reasons": result.reasons,
    }


def answer_headers(result: RoutingResult) -> dict[str, str]:
    """Return the headers that tell which model answered, why, and for how much."""
    headers = chosen_headers(result.decision_id, result.policy, result.model or "")
    return headers | {"X-Switchyard-Cost-USD": plain(result.cost_usd)}


def chosen_headers(decision_id: UUID, policy: str, model_id: str) -> dict[str, str]:
    """Return what is known before the answer is."""
    return {
        "X-Switchyard-Decision": str(decision_id),
        "X-Switchyard-Model": header_text(model_id),
        "X-Switchyard-Policy": header_text(policy),
    }


def raw_headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI sends them."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def header_text(text: str) -> str:
    """Return the text as a header can carry it."""
    if text.isascii() and text.isprintable():  # as nearly every name is
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def finish_reason(reason: str | None) -> str | None:
    """Return a reason that OpenAI's clients know; None where there is none yet."""
    return reason if reason is None or reason in FINISH_REASONS else "stop"


def _message(result: RoutingResult) -> Json:
    message = dict(result.message or {})
    message["role"] = "assistant"
    message.setdefault("content", result.content)
    message.setdefault("refusal", None)
    return message


class Chunks:
    """Makes the chunks of one streamed answer; they all carry one id."""

    def __init__(self, decision_id: UUID, policy: str, model_id: str, created: int) -> None:
        self._id, self._created = answer_id(decision_id), created
        self._model_id = model_id
        self._chosen = {
            "decision_id": str(decision_id),
            "policy": policy,
            "model": model_id,
        }

    def first(self) -> Json:
        """Return the chunk that names the model, before any text."""
        delta = {"role": "assistant", "content": ""}
        return self._chunk(delta, None) | {"switchyard": self._chosen}

    def piece(self, delta: StreamDelta) -> Json:
        """Return one piece as the upstream sent it; an error's finish reason is not passed on."""
        self._model_id = delta.model_id
        reason = None if delta.finish_reason == "error" else finish_reason(delta.finish_reason)
        return self._chunk(delta.delta, reason)

    def whole(self, result: RoutingResult) -> Json:
        """Return an answer that came in one piece, say one that was stored."""
        message = _message(result)
        if message.get("tool_calls"):
            calls = enumerate(message["tool_calls"])
            message["tool_calls"] = [{**call, "index": index} for index, call in calls]
        return self._chunk(message, None)

    def finish(self, reason: str | None) -> Json:
        """Return the chunk that ends the text."""
        return self._chunk({}, finish_reason(reason) or "stop")

    def last(self, result: RoutingResult) -> Json:
        """Return the chunk with tokens and cost; it has no choice."""
        return self._head() | {
            "choices": [],
            "usage": usage_document(result),
            "switchyard": facts(result),
        }

    def error(self, error: Json) -> Json:
        """Return the chunk that says what went wrong after the answer had begun."""
        return self._head() | {"choices": []} | error

    def _chunk(self, delta: Json, reason: str | None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return self._head() | {"choices": [choice]}

    def _head(self) -> Json:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model_id,
            "system_fingerprint": None,
        }
