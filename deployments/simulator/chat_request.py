"""A chat request as the simulator understands it; unknown fields are ignored, as upstream does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from deployments.simulator.refusals import invalid_request
from deployments.simulator.tokens import texts_of
from deployments.simulator.wire import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What of the request matters here (openrouter.ai/docs, chat completions, 2026-08-22)."""

    model_ids: tuple[str, ...]
    messages: list[Json]
    max_tokens: int | None
    stop: tuple[str, ...]
    stream: bool
    tools: list[Json]
    tool_choice: Any  # a word or an object
    response_format: Json
    reasoning: Json
    provider: Json
    cache_control: bool
    user: str | None
    session_id: str | None
    metadata: Json

    @property
    def text(self) -> str:
        """Every text of the conversation."""
        return "\n".join(text for message in self.messages for text in texts_of(message))

    @property
    def last_user_text(self) -> str:
        """What the user asked last."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return "\n".join(texts_of(message))
        return ""

    @property
    def has_images(self) -> bool:
        """Whether any message shows an image."""
        contents = (m.get("content") for m in self.messages)
        parts = (part for content in contents if isinstance(content, list) for part in content)
        return any(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def parse_chat_request(body: bytes) -> ChatRequest:
    """Read a request body; raise the 400 that OpenRouter would answer."""
    payload = parse_object(body)
    reasoning = object_field(payload, "reasoning")
    if payload.get("reasoning_effort"):
        reasoning = {"effort": payload["reasoning_effort"], **reasoning}
    check_temperature(payload)
    return ChatRequest(
        model_ids=model_ids_of(payload),
        messages=messages_of(payload),
        max_tokens=max_tokens_of(payload),
        stop=stop_of(payload),
        stream=payload.get("stream") is True,
        tools=[tool for tool in payload.get("tools") or [] if isinstance(tool, dict)],
        tool_choice=payload.get("tool_choice"),
        response_format=object_field(payload, "response_format"),
        reasoning=reasoning,
        provider=object_field(payload, "provider"),
        cache_control=b'"cache_control"' in body,
        user=payload.get("user"),
        session_id=payload.get("session_id"),
        metadata=object_field(payload, "metadata"),
    )


def parse_object(body: bytes) -> Json:
    """Return the JSON object of a body."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid_request("Invalid JSON in the request body") from error
    if not isinstance(payload, dict):
        raise invalid_request("The request body must be a JSON object")
    return payload


def object_field(payload: Json, name: str) -> Json:
    """Return an object field; absent or null is an empty one."""
    value = payload.get(name) or {}
    if not isinstance(value, dict):
        raise invalid_request(f"{name}: Invalid input: expected object")
    return value


def model_ids_of(payload: Json) -> tuple[str, ...]:
    """Return `model` and then `models`, without repeats."""
    listed = payload.get("models") or []
    ids = [payload["model"], *listed] if payload.get("model") else [*listed]
    if not ids:
        raise invalid_request("No models provided")
    if not all(isinstance(model_id, str) for model_id in ids):
        raise invalid_request("model: Invalid input: expected string")
    return tuple(dict.fromkeys(ids))


def messages_of(payload: Json) -> list[Json]:
    """Return the messages; at least one, each an object with a role."""
    messages = payload.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid_request('Input required: specify "prompt" or "messages"')
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        raise invalid_request("messages: Invalid input: expected objects with a role")
    return messages


def max_tokens_of(payload: Json) -> int | None:
    """Return `max_completion_tokens`, else the older `max_tokens`."""
    value = payload.get("max_completion_tokens")
    value = payload.get("max_tokens") if value is None else value
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise invalid_request("max_tokens: Invalid input: expected a number of at least 1")
    return value


def stop_of(payload: Json) -> tuple[str, ...]:
    """Return up to four stop texts."""
    stop = payload.get("stop") or []
    texts = [stop] if isinstance(stop, str) else stop
    if not isinstance(texts, list) or len(texts) > 4:
        raise invalid_request("stop: Invalid input: expected a string or up to 4 strings")
    return tuple(str(text) for text in texts if text)


def check_temperature(payload: Json) -> None:
    """Refuse a temperature outside 0 to 2."""
    value = payload.get("temperature")
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        raise invalid_request("temperature: Invalid input: expected a number from 0 to 2")
