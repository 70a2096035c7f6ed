"""Asynchronous batches on the wire: what is submitted, and what comes back.

Shapes: the official SDK (`openrouter` 1.3.84, `components/batchsubmitbody.py` and
`batchobject.py`). Unknown fields are ignored, an unknown status counts as under way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.errors import NotBatched, OutcomeUnknown, UpstreamFailed
from models.upstream_batch import BatchResult, UpstreamBatch
from tasks.adapters.openrouter.answer import Measured, draft_of, judged
from tasks.adapters.openrouter.calls import ChatCall, chat_document
from tasks.adapters.openrouter.error_body import error_from
from tasks.adapters.openrouter.failures import Refusal, failure_of
from tasks.adapters.openrouter.strict_json import MalformedJson
from tasks.adapters.openrouter.usage import UnusableUsage, usage_from
from tasks.adapters.openrouter.wording import Wording

ENDPOINT = "/v1/chat/completions"
# Error types that come before any model has worked; all others may be billed.
KNOWN_REFUSALS = frozenset(
    {
        "authentication",
        "content_policy_violation",
        "context_length_exceeded",
        "image_download_failed",
        "image_not_found",
        "image_too_large",
        "image_too_small",
        "invalid_image",
        "invalid_prompt",
        "invalid_request",
        "max_tokens_exceeded",
        "not_found",
        "payload_too_large",
        "payment_required",
        "permission_denied",
        "precondition_failed",
        "provider_overloaded",
        "rate_limit_exceeded",
        "string_too_long",
        "token_limit_exceeded",
        "unprocessable",
        "unsupported_image_format",
    }
)
NOT_MEASURED = Measured(latency_ms=0)  # an answer of a batch says nothing about a model's speed


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One call of a batch under the name by which its result comes back."""

    custom_id: str
    call: ChatCall


def submit_document(model_id: str, items: Sequence[BatchItem]) -> dict[str, Any]:  # Any: JSON
    """Return the body of `POST /batches`; all items ask one model.

    Its provider preferences know no price, so that `max_price` is not sent.
    """
    return {
        "endpoint": ENDPOINT,
        "model": model_id,
        "completion_window": "24h",
        "requests": [
            {"custom_id": item.custom_id, "body": _item_body(item.call)} for item in items
        ],
    }


def _item_body(call: ChatCall) -> dict[str, Any]:  # Any: JSON
    body = chat_document(call, stream=False, openrouter_fields=False)
    del body["stream"]
    return body


def batch_from(
    document: Mapping[str, Any],
    *,
    model_id: str,
    wording: Callable[[str | None], Wording],
    now: datetime,
) -> UpstreamBatch:
    """Read a batch object; `wording` is by custom_id. Raises MalformedJson without id or status."""
    upstream_id, status = document.get("id"), document.get("status")
    if not isinstance(upstream_id, str) or not upstream_id or not isinstance(status, str):
        raise MalformedJson("a batch without id or status")
    results, counts = document.get("results"), document.get("request_counts")
    completed = counts.get("completed") if isinstance(counts, Mapping) else None
    error = error_from(document).text if document.get("error") is not None else ""
    try:
        usage = usage_from(document.get("usage"))
    except UnusableUsage:  # then each item's own bill counts, or is asked for
        usage = None
    return UpstreamBatch(
        upstream_id=upstream_id[:200],
        status=status[:50],
        cost_usd=None if usage is None else usage.cost_usd,
        completed=completed if isinstance(completed, int) else None,
        error=wording(None)(error) if error else None,
        results=tuple(
            _result(one, model_id, wording(one["custom_id"]), now)
            for one in (results if isinstance(results, list) else ())
            if isinstance(one, Mapping) and isinstance(one.get("custom_id"), str)
        ),
    )


def _result(one: Mapping[str, Any], model_id: str, wording: Wording, now: datetime) -> BatchResult:
    custom_id, response = one["custom_id"], one.get("response")
    try:
        if not isinstance(response, Mapping):
            raise _item_failure(one, wording)
        body, status = response.get("body"), response.get("status_code")
        if not isinstance(body, Mapping):
            raise MalformedJson("a result without a body")
        if isinstance(status, int) and not 200 <= status < 300:
            refusal = Refusal(status, {}, error_from(body))
            raise _one_line_only(failure_of(refusal, now=now, generation_id=None, wording=wording))
        draft = draft_of(body, model_id=model_id, generation_id=None)
        return BatchResult(custom_id, judged(draft, NOT_MEASURED, wording))
    except MalformedJson as error:
        return BatchResult(custom_id, None, OutcomeUnknown(f"the result cannot be read: {error}"))
    except UpstreamFailed as failure:
        return BatchResult(custom_id, failure.completion, failure)


def _item_failure(one: Mapping[str, Any], wording: Wording) -> UpstreamFailed:
    stated = one.get("error")
    error = stated if isinstance(stated, Mapping) else {}
    kind = error.get("error_type") or error.get("type")
    words = wording(f"{kind}: {error.get('message') or 'the upstream gave no reason'}")
    if kind in KNOWN_REFUSALS:
        return NotBatched(words, retry_after_s=0.0)
    return OutcomeUnknown(words)


def _one_line_only(failure: UpstreamFailed) -> UpstreamFailed:
    """A refusal of one item stops or parks nothing: the ordinary call finds out by itself."""
    if failure.hold_fate is OutcomeUnknown.hold:
        return failure
    return NotBatched(failure.message, failure.status, retry_after_s=0.0)
