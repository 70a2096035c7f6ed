"""Answers that refuse a request: status, headers and an error body as OpenRouter writes them.

Shapes: openrouter.ai/docs, errors and limits (2026-08-22 and autumn 2026), and captured bodies of
autumn 2026. `code` is always present, because the official SDK refuses a body without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from deployments.simulator.faults import Fault, FaultRule
from deployments.simulator.wire import Json, to_json

DOCS_URL = "https://openrouter.ai/docs/api-reference/errors"
KEY_NOTE = "Add more using https://openrouter.ai/credits"


class Refusal(Exception):
    """The request gets this answer instead of a completion."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status, body, headers)
        self.status, self.body, self.headers = status, body, dict(headers)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one refusal reads; texts may hold {model}, {provider}, {afford} and {asked}."""

    status: int
    message: str
    error_type: str
    metadata: Json = field(default_factory=dict)
    availability: str | None = None
    retryable: bool = False
    retry_after: int | None = None


POOL = {
    "raw": "{model} is temporarily rate-limited upstream. Please retry shortly, or add your own "
    "key to accumulate your rate limits: https://openrouter.ai/settings/integrations",
    "provider_name": "{provider}",
    "is_byok": False,
    "provider_error_code": "engine_overloaded",
    "limit_source": "upstream_provider_shared_pool",
    "remedy_hint": "Retry, or route to another provider.",
}
BUDGET = {"scope": "member", "limit_usd": 10, "spend_usd": 10, "reset_interval": "daily"}
UPSTREAM = {"raw": "upstream failed", "provider_name": "{provider}"}

KINDS: Mapping[Fault, Kind] = {
    Fault.RATE_LIMITED: Kind(
        429, "Provider returned error", "rate_limit_exceeded", POOL, "capacity_exhausted", True
    ),
    Fault.RATE_LIMITED_DAILY: Kind(
        429,
        "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model "
        "requests per day",
        "rate_limit_exceeded",
        {"limit_source": "openrouter_free_tier_daily", "remedy_hint": "Add credits."},
    ),
    Fault.RATE_LIMITED_KEY: Kind(
        429,
        "Rate limit exceeded: limit of this key",
        "rate_limit_exceeded",
        {"limit_source": "openrouter_key_limit", "remedy_hint": "Raise the key's limit."},
    ),
    Fault.IN_FLIGHT: Kind(
        402,
        "Too much estimated spend is in flight. Retry when running requests have finished.",
        "payment_required",
        {"reason": "in_flight_budget_exhausted", "limit_source": "openrouter_in_flight_budget"},
        retry_after=120,
    ),
    Fault.CAN_ONLY_AFFORD: Kind(
        402,
        "This request requires more credits, or fewer max_tokens. You requested up to {asked} "
        "tokens, but can only afford {afford}. To increase, visit https://openrouter.ai/credits",
        "payment_required",
        {"limit_source": "openrouter_credits"},
    ),
    Fault.WEIGHT_EXCEEDS_BUDGET: Kind(
        402,
        "The estimated cost of this request exceeds your whole in-flight budget.",
        "payment_required",
        {"reason": "weight_exceeds_budget", "limit_source": "openrouter_credits"},
    ),
    Fault.PROMPT_LIMIT: Kind(
        402, "Prompt tokens limit exceeded: {asked} > {afford}", "payment_required"
    ),
    Fault.OUT_OF_CREDITS: Kind(
        402,
        f"Insufficient credits. {KEY_NOTE}",
        "payment_required",
        {"limit_source": "openrouter_credits"},
    ),
    Fault.KEY_LIMIT: Kind(
        402,
        "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys",
        "payment_required",
        {"limit_source": "openrouter_key_limit"},
    ),
    Fault.GUARDRAIL_BUDGET: Kind(
        403,
        "Guardrail budget exceeded",
        "permission_denied",
        {"limit_source": "openrouter_guardrail_budget", **BUDGET},
    ),
    Fault.WORKSPACE_BUDGET: Kind(
        403,
        "Workspace budget exceeded",
        "permission_denied",
        {"limit_source": "openrouter_workspace_budget", **BUDGET},
    ),
    Fault.BAD_REQUEST: Kind(400, "Invalid request parameters", "invalid_request"),
    Fault.UNPROCESSABLE: Kind(422, "The request could not be processed", "unprocessable"),
    Fault.MODEL_NOT_FOUND: Kind(
        400, "{model} is not a valid model ID", "invalid_request", {}, "model_not_found"
    ),
    Fault.NO_ENDPOINTS: Kind(
        404, "No endpoints found for {model}.", "not_found", {}, "no_endpoints"
    ),
    Fault.CONTEXT_LENGTH: Kind(
        400,
        "This endpoint's maximum context length is {afford} tokens. However, you requested about "
        "{asked} tokens. Please reduce the length of either one.",
        "context_length_exceeded",
    ),
    Fault.UNAUTHORIZED: Kind(401, "User not found.", "authentication"),
    Fault.PERMISSION_DENIED: Kind(
        403, "This key has no permission for this request.", "permission_denied"
    ),
    Fault.MODERATION: Kind(
        403,
        "{model} requires moderation. Your input was flagged.",
        "permission_denied",
        {
            "reasons": ["violence"],
            "flagged_input": "the first words of the input",
            "provider_name": "{provider}",
            "model_slug": "{model}",
        },
    ),
    Fault.TIMEOUT: Kind(408, "Operation timed out. Please try again later.", "timeout"),
    Fault.TOO_LARGE: Kind(413, "Request body too large", "payload_too_large"),
    Fault.SERVER_ERROR: Kind(500, "Internal Server Error", "server"),
    Fault.BAD_GATEWAY: Kind(502, "Provider returned error", "provider_unavailable", UPSTREAM),
    Fault.UNAVAILABLE: Kind(
        503,
        "No instances available for {model} right now.",
        "provider_overloaded",
        {"provider_name": "{provider}"},
        "temporarily_unavailable",
        True,
    ),
    Fault.GATEWAY_TIMEOUT: Kind(504, "Gateway timeout", "timeout", UPSTREAM),
    Fault.EDGE_TIMEOUT: Kind(524, "A timeout occurred at the edge", "timeout"),
    Fault.OVERLOADED: Kind(529, "Provider is overloaded", "provider_overloaded", UPSTREAM),
}
HTML_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a refusal says about the request it refuses."""

    now: datetime
    model: str = ""
    provider: str = "OpenRouter"
    asked: int = 0
    afford: int = 0


def filled(value: object, details: Details) -> object:
    """Put the details into a text or a document of texts."""
    if isinstance(value, str):
        for name in ("model", "provider", "asked", "afford"):
            value = value.replace(f"{{{name}}}", str(getattr(details, name)))
        return value
    if isinstance(value, dict):
        return {key: filled(item, details) for key, item in value.items()}
    return value


def error_body(code: int, message: str, metadata: Json, availability: Json | None = None) -> Json:
    """Return the one envelope of every error."""
    error: Json = {"code": code, "message": message, "metadata": metadata}
    if availability is not None:
        error["availability"] = availability
    return {"error": error, "user_id": "user_simulated"}


def refusal_of(fault: Fault, details: Details, rule: FaultRule | None = None) -> Refusal:
    """Return the refusal of a fault; a rule may change its status, message and Retry-After."""
    if fault is Fault.HTML_BAD_GATEWAY:
        return Refusal(502, HTML_PAGE, {"content-type": "text/html"})
    if fault is Fault.REDIRECT:
        return Refusal(307, b"", {"location": rule.location if rule else "/"})
    kind = KINDS[fault]
    status = (rule and rule.status) or kind.status
    message = (rule and rule.message) or str(filled(kind.message, details))
    metadata: Json = {"error_type": kind.error_type}
    metadata |= {key: filled(value, details) for key, value in kind.metadata.items()}
    headers = {**own_limit_headers(fault, details.now), **retry_after_header(kind, rule, details)}
    if fault in (Fault.RATE_LIMITED_DAILY, Fault.RATE_LIMITED_KEY):
        metadata["headers"] = own_limit_headers(fault, details.now)
    body = error_body(status, message, metadata, availability_of(kind, details))
    return Refusal(status, to_json(body), {"content-type": "application/json", **headers})


def availability_of(kind: Kind, details: Details) -> Json | None:
    """Return `error.availability`, which only some refusals have (since 2026-08-19)."""
    if kind.availability is None:
        return None
    return {
        "code": kind.availability,
        "retryable": kind.retryable,
        "requested_models": [details.model],
        "docs_url": DOCS_URL,
    }


def own_limit_headers(fault: Fault, now: datetime) -> dict[str, str]:
    """X-RateLimit-*: only OpenRouter's own limits send them; Reset is in epoch milliseconds."""
    if fault not in (Fault.RATE_LIMITED_DAILY, Fault.RATE_LIMITED_KEY):
        return {}
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    reset_ms = int((day + timedelta(days=1)).timestamp() * 1000)
    return {
        "X-RateLimit-Limit": "50",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(reset_ms),
    }


def own_rate_refusal(requests: int, free_at: datetime) -> Refusal:
    """Return the 429 of an own limit of `requests` a window, with room again at `free_at`."""
    stated = {
        "X-RateLimit-Limit": str(requests),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(math.ceil(free_at.timestamp() * 1000)),
    }
    metadata: Json = {
        "error_type": "rate_limit_exceeded",
        "limit_source": "openrouter_key_limit",
        "headers": stated,
    }
    body = error_body(429, "Rate limit exceeded: limit-rpm", metadata)
    return Refusal(429, to_json(body), {"content-type": "application/json", **stated})


def retry_after_header(kind: Kind, rule: FaultRule | None, details: Details) -> dict[str, str]:
    """Retry-After as the rule says, else as the kind does; often there is none."""
    if rule is not None and rule.retry_after_date_s is not None:
        moment = details.now.astimezone(UTC) + timedelta(seconds=rule.retry_after_date_s)
        return {"Retry-After": format_datetime(moment, usegmt=True)}
    wait = kind.retry_after if rule is None or rule.retry_after is None else rule.retry_after
    return {} if wait is None else {"Retry-After": str(wait)}


def invalid_request(message: str) -> Refusal:
    """Return the 400 of a request that cannot be read."""
    body = error_body(400, message, {"error_type": "invalid_request"})
    return Refusal(400, to_json(body), {"content-type": "application/json"})


def filtered_out(model_id: str, *, excluded_by: str, field_name: str, detail: str) -> Refusal:
    """Return the 404 of a routing constraint that no endpoint meets (`constraint_filtered`)."""
    availability = {
        "code": "constraint_filtered",
        "retryable": False,
        "requested_models": [model_id],
        "excluded_by": [excluded_by],
        "constraint": {"field": field_name, "detail": detail},
        "docs_url": DOCS_URL,
    }
    message = "No models match your request and model restrictions"
    body = error_body(404, message, {"error_type": "not_found"}, availability)
    return Refusal(404, to_json(body), {"content-type": "application/json"})
