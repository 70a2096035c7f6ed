"""From what an upstream sent to a `Completion`, or to the error that says what it was instead."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.completion import Completion, Usage
from models.errors import BadAnswer, OutcomeUnknown
from tasks.adapters.openrouter.error_body import ErrorBody, error_from
from tasks.adapters.openrouter.strict_json import MalformedJson, plain_json
from tasks.adapters.openrouter.usage import UnusableUsage, usage_from

KNOWN_FIELDS = frozenset({"id", "object", "model", "provider", "choices", "usage", "error"})
ANSWER_PARTS = ("tool_calls", "function_call", "refusal", "images", "audio")


@dataclass(slots=True)
class Draft:
    """An answer as far as it was read; a stream fills it piece by piece."""

    model_id: str
    generation_id: str | None = None
    provider: str | None = None
    message: dict[str, Any] = field(default_factory=lambda: {"role": "assistant"})
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    usage: object = None
    error: ErrorBody | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        """Whether the upstream said that the answer ended in an error."""
        return self.error is not None or self.finish_reason == "error"

    def note_head(self, document: Mapping[str, Any]) -> None:
        """Take over what stands beside the choices; the model that served wins over ours."""
        self.model_id = _text(document.get("model")) or self.model_id
        self.provider = _text(document.get("provider")) or self.provider
        self.generation_id = self.generation_id or _text(document.get("id"))
        self.extra |= {
            name: plain_json(value)
            for name, value in document.items()
            if name not in KNOWN_FIELDS and name not in self.extra and value is not None
        }
        if document.get("error") is not None:
            self.error = error_from(document)

    def note_choice(self, choice: Mapping[str, Any]) -> None:
        """Take over a choice's reasons to end and its error; the first finish reason counts."""
        self.finish_reason = self.finish_reason or _text(choice.get("finish_reason"))
        native = _text(choice.get("native_finish_reason"))
        self.native_finish_reason = self.native_finish_reason or native
        if choice.get("error") is not None and self.error is None:
            self.error = error_from(choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Times of an answer, by a monotonic clock."""

    latency_ms: int
    first_token_ms: int | None = None

    @classmethod
    def since(cls, started_s: float, *, first_token_ms: int | None = None) -> Measured:
        """Stop the watch that `time.monotonic` started."""
        return cls(latency_ms=ms_since(started_s), first_token_ms=first_token_ms)


def ms_since(started_s: float) -> int:
    """Return the whole milliseconds since a reading of `time.monotonic`."""
    return round((time.monotonic() - started_s) * 1000)


def draft_of(document: Mapping[str, Any], *, model_id: str, generation_id: str | None) -> Draft:
    """Read a whole chat completion; raises MalformedJson when it has another shape."""
    draft = Draft(model_id, generation_id)
    draft.note_head(document)
    draft.usage = document.get("usage")
    choice = first_choice(document)
    if choice is not None:
        draft.note_choice(choice)
        message = choice.get("message")
        if message is not None and not isinstance(message, Mapping):
            raise MalformedJson("a message is not an object")
        draft.message |= plain_json(dict(message or {}))
        if choice.get("logprobs") is not None:
            draft.extra["logprobs"] = plain_json(choice["logprobs"])
    return draft


def first_choice(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the choice of index 0, if there is one; raises MalformedJson for other shapes."""
    choices = document.get("choices")
    if choices is None:
        return None
    if not isinstance(choices, list) or not all(isinstance(one, Mapping) for one in choices):
        raise MalformedJson("choices are not a list of objects")
    return next((one for one in choices if one.get("index") in (0, None)), None)


def judged(draft: Draft, measured: Measured, wording: Callable[[str], str]) -> Completion:
    """Return the answer if it is one.

    Raises BadAnswer for an error, finish reason "error" or an empty answer (its `hold_fate` says
    whether the bill is known), and OutcomeUnknown, with the answer, for usage that cannot be true.
    """
    try:
        usage, problem = usage_from(draft.usage), None
    except UnusableUsage as unusable:
        usage, problem = None, str(unusable)
    completion = completed(draft, measured, usage)
    if draft.has_failed:
        error = draft.error or ErrorBody()
        text = wording(error.text) or "the model stopped with an error"
        raise BadAnswer(text, error.code, None, draft.generation_id, completion)
    if problem is not None:
        raise OutcomeUnknown(
            f"the bill is unknown: {problem}",
            generation_id=draft.generation_id,
            completion=completion,
        )
    if not completion.content and not any(draft.message.get(part) for part in ANSWER_PARTS):
        text = f"empty answer (finish_reason {draft.finish_reason!r})"
        raise BadAnswer(wording(text), 200, None, draft.generation_id, completion)
    return completion


def completed(draft: Draft, measured: Measured, usage: Usage | None) -> Completion:
    """Return the draft as a Completion; raises MalformedJson when its content is no text."""
    return Completion(
        model_id=draft.model_id,
        provider=draft.provider,
        content=content_text(draft.message.get("content")),
        message=draft.message,
        finish_reason=draft.finish_reason,
        native_finish_reason=draft.native_finish_reason,
        usage=usage,
        generation_id=draft.generation_id,
        latency_ms=measured.latency_ms,
        first_token_ms=measured.first_token_ms,
        extra=draft.extra,
    )


def content_text(content: object) -> str:
    """Return the text of a message's content, which may be null, text, or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        return "".join(_text(part.get("text")) or "" for part in content)
    raise MalformedJson("the content is not a text")


def _text(value: object) -> str | None:
    return plain_json(value)[:200] if isinstance(value, str) and value else None
