"""What is sent: one chat call, with the bounds that make its hold a bound."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.errors import RequestRejected
from models.pricing import TokenPrice

# Fields of a caller that would lift the bound or change who answers: ours decide these.
OURS = frozenset(
    {
        "model",
        "models",
        "route",
        "preset",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "n",
        "best_of",
    }
)
METADATA_PAIRS_MAX = 16  # openrouter.ai/docs, chat completions, 2026-08-22
ATTEMPT_KEY = "switchyard_attempt"
Json = dict[str, Any]  # documents of the wire


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One chat completion to ask for; `price` becomes the cap `provider.max_price`.

    `extra_body` holds further chat fields, passed on as they are. Those in OURS are left out:
    they would make the call cost more than its hold.
    """

    model_id: str
    messages: Sequence[Mapping[str, Any]] = field(repr=False)
    max_tokens: int
    temperature: float | None = None
    price: TokenPrice | None = None
    tools: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False)
    tool_choice: str | Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = field(default=None, repr=False)
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    attempt_id: str | None = None


def chat_document(call: ChatCall, *, stream: bool, openrouter_fields: bool) -> Json:
    """Return the request document of a call; our bounds win over `extra_body`."""
    document: Json = {name: value for name, value in call.extra_body.items() if name not in OURS}
    document |= {"model": call.model_id, "messages": list(call.messages)}
    document |= {"max_tokens": call.max_tokens, "stream": stream}
    for name in ("temperature", "tools", "tool_choice", "response_format"):
        if (value := getattr(call, name)) is not None:
            document[name] = value
    if stream:  # without effect on OpenRouter, needed elsewhere to be told the usage
        document["stream_options"] = {"include_usage": True}
    if openrouter_fields:
        document |= _openrouter_fields(call)
    return document


def _openrouter_fields(call: ChatCall) -> Json:
    fields: Json = {}
    if call.price is not None:
        theirs = call.extra_body.get("provider")
        routing = dict(theirs) if isinstance(theirs, Mapping) else {}
        fields["provider"] = {**routing, "max_price": call.price.max_price()}
    if call.attempt_id is not None:
        theirs = call.extra_body.get("metadata")
        pairs = dict(theirs) if isinstance(theirs, Mapping) else {}
        if len(pairs) < METADATA_PAIRS_MAX:
            fields["metadata"] = {**pairs, ATTEMPT_KEY: call.attempt_id}
    return fields


def to_bytes(document: Json) -> bytes:
    """Return the document as JSON; raises RequestRejected when it has no JSON form."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:  # NaN, lone surrogates, odd types
        raise RequestRejected(f"the request has no JSON form: {type(error).__name__}") from error


def prompt_texts(call: ChatCall) -> list[str]:
    """Return every text of the messages, so that errors can be kept free of them."""
    texts: list[str] = []
    waiting: list[Any] = [message.get("content") for message in call.messages]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, Mapping):
            waiting += [item for name, item in value.items() if name != "type"]
        elif isinstance(value, Sequence):
            waiting += list(value)
    return texts
