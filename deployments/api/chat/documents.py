"""What OpenAPI says of the chat routes; they read and write the wire's own shapes."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]  # JSON Schema

TEXT_PART: Json = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
}
IMAGE_PART: Json = {
    "type": "object",
    "required": ["type", "image_url"],
    "properties": {
        "type": {"const": "image_url"},
        "image_url": {
            "type": "object",
            "required": ["url"],
            "properties": {"url": {"type": "string"}},
        },
    },
}
MESSAGE: Json = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string"},
        "content": {
            "anyOf": [
                {"type": "string"},
                {"type": "null"},
                {"type": "array", "items": {"anyOf": [TEXT_PART, IMAGE_PART]}},
            ]
        },
    },
}
CHAT_BODY: Json = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["messages"],
                "description": "OpenAI's request; fields not named here go on to the upstream",
                "properties": {
                    "model": {
                        "type": "string",
                        "maxLength": 200,
                        "default": "auto",
                        "description": "`auto`, `policy:NAME`, or a model id",
                    },
                    "messages": {"type": "array", "minItems": 1, "items": MESSAGE},
                    "stream": {"type": ["boolean", "null"], "default": False},
                    "max_tokens": {
                        "type": ["integer", "null"],
                        "minimum": 1,
                        "maximum": 1_000_000,
                    },
                    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
                    "tools": {"type": ["array", "null"], "items": {"type": "object"}},
                    "response_format": {"type": ["object", "null"]},
                    "metadata": {
                        "type": ["object", "null"],
                        "properties": {"trace": {"type": "string", "enum": ["flow", "ledger"]}},
                        "description": "task_type, worker, idempotency_key, trace, policy,"
                        " max_cost_usd, ... are read; the rest goes on to the upstream",
                    },
                },
            },
            "example": {
                "model": "auto",
                "messages": [{"role": "user", "content": "Is the payment service up?"}],
            },
        }
    },
}
USAGE: Json = {
    "type": "object",
    "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
    "properties": {
        "prompt_tokens": {"type": "integer"},
        "completion_tokens": {"type": "integer"},
        "total_tokens": {"type": "integer"},
        "cost": {"type": "number"},
    },
}
OURS = {
    f"X-Switchyard-{name}": {"schema": {"type": "string"}, "description": description}
    for name, description in (
        ("Decision", "Ask /api/routing/decisions/{id} why"),
        ("Model", "The model that answers"),
        ("Policy", "The policy that chose it"),
    )
}
COMPLETION: Json = {
    "description": "The answer; with `stream`, server-sent events whose last one holds the cost",
    "headers": OURS,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["id", "object", "created", "model", "choices", "usage"],
                "properties": {
                    "id": {"type": "string"},
                    "object": {"const": "chat.completion"},
                    "created": {"type": "integer"},
                    "model": {"type": "string"},
                    "choices": {"type": "array", "items": {"type": "object"}},
                    "usage": USAGE,
                },
            }
        },
        "text/event-stream": {},
    },
}
MODELS: Json = {
    "description": "The models",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["object", "data"],
                "properties": {
                    "object": {"const": "list"},
                    "data": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["id", "object", "created", "owned_by"],
                        },
                    },
                },
            }
        }
    },
}
