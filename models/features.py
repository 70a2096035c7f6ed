"""What a request demands of a model and of the money: everything the selection needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from models.prompt_caching import asks_long_cache
from models.request import OnExhausted, RoutingRequest
from models.tokens import (
    image_parts,
    low_detail_count,
    prompt_tokens_bound,
    prompt_tokens_estimate,
)

IMAGE, TOOLS, JSON_ANSWER, JSON_SCHEMA = "image", "tools", "response_format", "structured_outputs"
# Other content has no token bound: a page of a PDF, a second of sound.
_BOUNDED_PARTS = frozenset(("text", "image_url", "input_image", "image", "refusal"))
# Plugins without a price of their own (openrouter.ai/docs, plugins, 2026-08).
_FREE_PLUGINS = frozenset(("response-healing", "context-compression", "moderation"))


@dataclass(frozen=True, slots=True)
class RequestFeatures:
    """The request without its content.

    `text_tokens_bound` is a hard bound on the prompt tokens beside images, `answers` how many are
    asked for (`n`), `unbounded` what the request holds whose cost has no bound. `on_exhausted` is
    None when the caller did not choose; then the policy does. `checked` says that the request
    brings checks of its answer, `long_cache` that it asks a provider to keep parts of the prompt
    for an hour.
    """

    text_tokens_bound: int
    text_tokens_estimate: int
    images: int = 0
    images_low: int = 0
    abilities: tuple[str, ...] = ()
    answers: int = 1
    max_tokens: int | None = None
    max_cost_usd: Decimal | None = None
    approval_above_usd: Decimal | None = None
    on_exhausted: OnExhausted | None = None
    priority: int = 0
    model: str | None = None
    worker_id: str | None = None
    unbounded: tuple[str, ...] = ()
    checked: bool = False
    long_cache: bool = False


def request_features(request: RoutingRequest) -> RequestFeatures:
    """Return what the selection needs to know of a request."""
    messages = request.chat_messages()
    images = image_parts(messages)
    bound = prompt_tokens_bound(messages, request.tools, request.response_format)
    given = "on_exhausted" in request.model_fields_set
    return RequestFeatures(
        text_tokens_bound=bound,
        text_tokens_estimate=prompt_tokens_estimate(bound),
        images=len(images),
        images_low=low_detail_count(images) if images else 0,
        abilities=needed_abilities(request, images=len(images)),
        answers=_answers(request.extra_body),
        max_tokens=request.max_tokens,
        max_cost_usd=request.max_cost_usd,
        approval_above_usd=request.approval_above_usd,
        on_exhausted=request.on_exhausted if given else None,
        priority=request.priority,
        model=request.model,
        worker_id=request.worker_id,
        unbounded=tuple(_unbounded(request, messages)),
        checked=request.accept is not None,
        long_cache=asks_long_cache(request),
    )


def needed_abilities(request: RoutingRequest, *, images: int) -> tuple[str, ...]:
    """Return the abilities without which a model cannot take the request, sorted.

    The names are OpenRouter's: `supported_parameters`, and `image` of the input modalities.
    """
    wanted = {IMAGE} if images else set()
    if request.tools:
        wanted.add(TOOLS)
    kind = (request.response_format or {}).get("type")
    if kind == "json_schema":
        wanted.add(JSON_SCHEMA)
    elif kind == "json_object":
        wanted.add(JSON_ANSWER)
    return tuple(sorted(wanted))


def _answers(extra_body: Mapping[str, Any]) -> int:
    asked = extra_body.get("n")
    return asked if isinstance(asked, int) and asked > 1 else 1


def _unbounded(request: RoutingRequest, messages: list[dict[str, Any]]) -> list[str]:
    """Return what the request holds that may cost more than any bound on its tokens."""
    found = {
        f"content of type {part.get('type')!r}"
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if isinstance(part, dict) and part.get("type") not in _BOUNDED_PARTS
    }
    found |= {
        f"the server tool {tool.get('type')!r}"
        for tool in request.tools or ()
        if tool.get("type", "function") != "function"
    }
    plugins = request.extra_body.get("plugins")
    for plugin in plugins if isinstance(plugins, list) else ():
        name = plugin.get("id") if isinstance(plugin, dict) else plugin
        if name not in _FREE_PLUGINS:
            found.add(f"the plugin {name!r}")
    if "web_search_options" in request.extra_body:
        found.add("a web search")
    return sorted(found)
