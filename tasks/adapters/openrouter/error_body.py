"""The error document of an answer, read as leniently as vendors write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.adapters.openrouter.strict_json import MalformedJson, parse_document


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error says: `kinds` are the machine-readable names it goes by.

    `has_limit` says that a budget's limit is stated, `headers` (lower-case) are those repeated
    inside the body, `is_api_error` is false for pages meant for people.
    """

    text: str = ""
    code: int | None = None
    kinds: frozenset[str] = frozenset()
    limit_source: str | None = None
    reason: str | None = None
    availability: str | None = None
    retry_after: object = None
    has_limit: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    is_api_error: bool = False


def read_error(data: bytes) -> ErrorBody:
    """Return what the body says; an unreadable one says nothing."""
    try:
        return error_from(parse_document(data))
    except MalformedJson:
        return ErrorBody()


def error_from(document: Mapping[str, Any]) -> ErrorBody:
    """Read `{"error": {...}}`, `{"error": "text"}`, and the flat forms of other vendors."""
    error = document.get("error")
    if isinstance(error, str):
        return ErrorBody(text=error, is_api_error=True)
    stated = error if isinstance(error, Mapping) else document
    text = _text(stated)
    if stated is document and not isinstance(stated.get("message"), str):
        return ErrorBody(text=text)
    metadata, availability = _part(stated, "metadata"), _part(stated, "availability")
    return ErrorBody(
        text=_with_raw(text, metadata),
        code=_int(stated.get("code")),
        kinds=_kinds(stated, metadata),
        limit_source=_name(metadata.get("limit_source")) or _name(stated.get("limit_source")),
        reason=_name(metadata.get("reason")) or _name(stated.get("reason")),
        availability=_name(availability.get("code")),
        retry_after=availability.get("retry_after", metadata.get("retry_after")),
        has_limit="limit_usd" in metadata,
        headers=_lower(_part(metadata, "headers")),
        is_api_error=True,
    )


def _text(stated: Mapping[str, Any]) -> str:
    texts = (stated.get(name) for name in ("message", "detail", "msg"))
    return next((text for text in texts if isinstance(text, str)), "")


def _with_raw(text: str, metadata: Mapping[str, Any]) -> str:
    """Add the provider's own words, which "Provider returned error" hides."""
    raw = metadata.get("raw")
    return f"{text}: {raw}" if isinstance(raw, str) and raw else text


def _kinds(stated: Mapping[str, Any], metadata: Mapping[str, Any]) -> frozenset[str]:
    names = (metadata.get("error_type"), *(stated.get(n) for n in ("error_type", "type", "code")))
    return frozenset(name for name in names if isinstance(name, str))


def _part(stated: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = stated.get(name)
    return value if isinstance(value, Mapping) else {}


def _lower(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if isinstance(value, str)}


def _name(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
