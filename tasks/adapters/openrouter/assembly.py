"""Puts a streamed answer together, chunk by chunk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from models.completion import StreamDelta
from tasks.adapters.openrouter.answer import Draft, content_text, first_choice
from tasks.adapters.openrouter.strict_json import MalformedJson, mended, plain_json

TEXT_CHARS_MAX = 8 * 1024 * 1024
TOOL_CALLS_MAX = 1_000
TEXT_FIELDS = ("reasoning", "reasoning_content", "refusal")
LIST_FIELDS = ("reasoning_details", "images", "annotations")
AUDIO_FIELDS = ("data", "transcript")
USAGE_FIELDS = (
    "prompt_tokens",
    "completion_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cost",
    "cost_details",
    "is_byok",
)


class AnswerTooLong(ValueError):
    """The assembled answer is past the cap."""


class Assembly:
    """Collects deltas into a draft; `usage` may ride on any chunk, the choice may be absent."""

    def __init__(self, *, model_id: str, generation_id: str | None) -> None:
        self.draft = Draft(model_id, generation_id)
        self._texts: dict[str, list[str]] = {}  # pieces: joining each would be quadratic
        self._audio: dict[str, list[str]] = {}
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._arguments: dict[int, list[str]] = {}
        self._chars = 0

    @property
    def has_ended(self) -> bool:
        """Whether nothing that matters can be missing: an error, or a finish and its usage."""
        draft = self.draft
        return draft.has_failed or (draft.finish_reason is not None and draft.usage is not None)

    @property
    def text_chars(self) -> int:
        """Characters of answer text so far."""
        return sum(len(text) for text in self._texts.get("content", ()))

    def take(self, chunk: Mapping[str, Any]) -> StreamDelta | None:
        """Add a chunk; return what it brings the reader. Raises MalformedJson, AnswerTooLong."""
        draft, before = self.draft, self.draft.finish_reason
        self._note_head(chunk)
        self._note_usage(chunk.get("usage"))
        choice = first_choice(chunk)
        if choice is None:
            return None
        draft.note_choice(choice)
        delta = choice.get("delta", choice.get("message"))
        if delta is not None and not isinstance(delta, Mapping):
            raise MalformedJson("a delta is not an object")
        finish = draft.finish_reason if before is None else None
        return self._add(dict(delta or {}), finish)

    def finished(self) -> Draft:
        """Return the draft with the whole message in it."""
        message = self.draft.message
        for name, texts in self._texts.items():
            message[name] = mended("".join(texts))
        message.setdefault("content", None)
        for index, call in self._tool_calls.items():
            call["function"]["arguments"] = mended("".join(self._arguments[index]))
        if self._tool_calls:
            message["tool_calls"] = [call for _, call in sorted(self._tool_calls.items())]
        for name, pieces in self._audio.items():
            message.setdefault("audio", {})[name] = mended("".join(pieces))
        return self.draft

    def _note_head(self, chunk: Mapping[str, Any]) -> None:
        known = len(self.draft.extra)
        self.draft.note_head(chunk)
        for value in list(self.draft.extra.values())[known:]:
            self._count(len(json.dumps(value)))

    def _note_usage(self, usage: object) -> None:
        """Keep the latest word on every count: some upstreams send usage more than once."""
        if isinstance(usage, Mapping):
            before = self.draft.usage if isinstance(self.draft.usage, dict) else {}
            stated = {name: usage[name] for name in USAGE_FIELDS if usage.get(name) is not None}
            self.draft.usage = {**before, **stated}
        elif usage is not None:
            self.draft.usage = usage  # of another type: judged unusable at the end

    def _add(self, delta: dict[str, Any], finish: str | None) -> StreamDelta | None:
        content = content_text(delta.get("content"))
        self._add_text("content", content)
        for name in TEXT_FIELDS:
            if isinstance(delta.get(name), str):
                self._add_text(name, delta[name])
        for name in LIST_FIELDS:
            if isinstance(delta.get(name), list):
                self.draft.message.setdefault(name, []).extend(self._counted(delta[name]))
        for position, piece in enumerate(_objects(delta.get("tool_calls"))):
            self._add_tool_call(position, piece)
        audio = delta.get("audio")
        if isinstance(audio, Mapping):
            self._add_audio(audio)
        brings = {name: value for name, value in delta.items() if name != "role" and value}
        if not brings and finish is None:
            return None
        return StreamDelta(mended(content), plain_json(delta), self.draft.model_id, finish)

    def _add_text(self, name: str, text: str) -> None:
        if text:
            self._count(len(text))
            self._texts.setdefault(name, []).append(text)

    def _add_tool_call(self, position: int, piece: Mapping[str, Any]) -> None:
        index = piece.get("index", position)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < TOOL_CALLS_MAX:
            raise MalformedJson("a tool call has no usable index")
        call = self._tool_calls.setdefault(
            index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        )
        function, stated = call["function"], piece.get("function")
        stated = stated if isinstance(stated, Mapping) else {}
        call["id"] = call["id"] or _text_or_none(piece.get("id"))
        function["name"] = function["name"] or _text_or_none(stated.get("name")) or ""
        self._add_arguments(index, stated.get("arguments"))

    def _add_arguments(self, index: int, stated: object) -> None:
        pieces = self._arguments.setdefault(index, [])
        if stated is None:
            return
        pieces.append(stated if isinstance(stated, str) else json.dumps(plain_json(stated)))
        self._count(len(pieces[-1]))

    def _add_audio(self, audio: Mapping[str, Any]) -> None:
        for name, value in audio.items():
            if isinstance(value, str) and name in AUDIO_FIELDS:
                self._count(len(value))
                self._audio.setdefault(name, []).append(value)
            elif name in ("id", "expires_at"):
                self.draft.message.setdefault("audio", {})[name] = plain_json(value)

    def _counted(self, items: list[Any]) -> list[Any]:
        plain: list[Any] = plain_json(items)
        self._count(len(json.dumps(plain)))
        return plain

    def _count(self, chars: int) -> None:
        self._chars += chars
        if self._chars > TEXT_CHARS_MAX:
            raise AnswerTooLong(f"an answer of more than {TEXT_CHARS_MAX} characters")


def _objects(value: object) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise MalformedJson("tool calls are not a list of objects")
    return value


def _text_or_none(value: object) -> str | None:
    return mended(value) if isinstance(value, str) and value else None
