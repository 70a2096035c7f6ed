"""A model as `GET /v1/models` shows it, with every field that OpenRouter's SDK requires."""

from __future__ import annotations

from typing import Any

from models.money import plain
from models.pricing import ModelCard

CREATED = 1_767_225_600  # 2026-01-01: catalogues do not say when a model came out
FREE = {"prompt": "0", "completion": "0", "request": "0", "image": "0"}
PARAMETERS = ["temperature", "top_p", "max_tokens", "stop", "seed"]


def model_document(name: str, card: ModelCard | None) -> dict[str, Any]:
    """Return the model object; `card` is None for auto and for policies, which have no price."""
    context = None if card is None else card.context_tokens
    inputs = ["text", "image"] if card is not None and "image" in card.abilities else ["text"]
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": "switchyard" if card is None else card.provider,
        "canonical_slug": name,
        "name": name,
        "context_length": context,
        "architecture": {
            "modality": f"{'+'.join(inputs)}->text",
            "input_modalities": inputs,
            "output_modalities": ["text"],
            "tokenizer": None,
            "instruct_type": None,
        },
        "pricing": FREE if card is None else _pricing(card),
        "top_provider": {
            "context_length": context,
            "max_completion_tokens": None if card is None else card.completion_tokens_max,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _parameters(card),
        "default_parameters": None,
        "supported_voices": None,
        "links": {"details": "/v1/models"},
    }


def _pricing(card: ModelCard) -> dict[str, str]:
    if card.price is None:
        return FREE
    return {
        "prompt": plain(card.price.prompt_usd),
        "completion": plain(card.price.completion_usd),
        "request": plain(card.price.request_usd),
        "image": plain(card.price.image_usd),
    }


def _parameters(card: ModelCard | None) -> list[str]:
    abilities = set() if card is None else card.abilities
    tools = ["tools", "tool_choice"] if card is None or "tools" in abilities else []
    formats = ["response_format"] if card is None or "response_format" in abilities else []
    return [*PARAMETERS, *tools, *formats]
