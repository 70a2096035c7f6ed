"""Reads a streamed answer: events to chunks, chunks to deltas, and what a cut stream means."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from models.completion import Completion, StreamDelta
from models.errors import OutcomeUnknown
from tasks.adapters.openrouter.answer import Measured, completed, judged, ms_since
from tasks.adapters.openrouter.assembly import AnswerTooLong, Assembly
from tasks.adapters.openrouter.sse import EventParser, StreamTooLong
from tasks.adapters.openrouter.strict_json import MalformedJson, parse_document
from tasks.adapters.openrouter.transport import Answer
from tasks.adapters.openrouter.usage import UnusableUsage, usage_from

STREAM_BYTES_MAX = 64 * 1024 * 1024  # on the wire a token takes some 250 bytes; kept are 8 MiB
DONE = "[DONE]"
AFTER_ERROR_S = 5.0  # how long usage is waited for once the stream has told its error
BROKEN = (MalformedJson, StreamTooLong, AnswerTooLong)


class StreamReader:
    """Reads one stream to its end; `result` judges what came."""

    def __init__(self, answer: Answer, *, model_id: str, started_s: float) -> None:
        self._answer, self._started_s = answer, started_s
        self._assembly = Assembly(model_id=model_id, generation_id=answer.generation_id)
        self._first_token_ms: int | None = None
        self._done = False

    async def deltas(self) -> AsyncGenerator[StreamDelta, None]:
        """Yield what the stream brings; raises OutcomeUnknown when it is cut before its end."""
        try:
            async with contextlib.aclosing(self._payloads()) as payloads:
                async for payload in payloads:
                    delta = self._take(payload)
                    if delta is not None:
                        yield delta
        except OutcomeUnknown as cut:
            if not self._assembly.has_ended:
                raise self._unknown(cut.message) from cut

    def result(self, wording: Callable[[str], str]) -> Completion:
        """Return the answer; raises as `judged` does, and OutcomeUnknown for a stream cut short."""
        draft = self._assembly.finished()
        if not draft.has_failed and not self._is_whole():
            raise self._unknown("the stream just ended")
        return judged(draft, self._measured(), wording)

    def _is_whole(self) -> bool:
        """Two of three: a finish reason, the usage, [DONE]. Upstreams leave out any one of them."""
        draft = self._assembly.draft
        return [draft.finish_reason is None, draft.usage is None, not self._done].count(True) < 2

    async def _payloads(self) -> AsyncGenerator[str, None]:
        parser = EventParser()
        async with contextlib.aclosing(self._answer.pieces(STREAM_BYTES_MAX)) as pieces:
            async for piece in pieces:
                for payload in self._fed(parser, piece):
                    if payload.strip() == DONE:
                        self._done = True
                        return
                    yield payload
        for payload in parser.close():
            self._done = self._done or payload.strip() == DONE
            if not self._done:
                yield payload

    def _fed(self, parser: EventParser, piece: bytes) -> list[str]:
        try:
            return parser.feed(piece)
        except StreamTooLong as error:
            raise OutcomeUnknown(str(error)) from error

    def _take(self, payload: str) -> StreamDelta | None:
        if not payload.strip():
            return None
        try:
            delta = self._assembly.take(parse_document(payload))
        except BROKEN as error:
            raise OutcomeUnknown(f"an event cannot be read: {error}") from error
        if self._assembly.draft.has_failed:
            soon = asyncio.get_running_loop().time() + AFTER_ERROR_S
            self._answer.until = min(self._answer.until, soon)
        if delta is not None and self._first_token_ms is None:
            self._first_token_ms = ms_since(self._started_s)
        return delta

    def _unknown(self, text: str) -> OutcomeUnknown:
        """Say what was cut, and after how much; the partial answer goes with it."""
        draft = self._assembly.finished()
        with contextlib.suppress(UnusableUsage, MalformedJson):  # then without the partial answer
            completion = completed(draft, self._measured(), usage_from(draft.usage))
            return OutcomeUnknown(self._cut_text(text), 200, None, draft.generation_id, completion)
        return OutcomeUnknown(self._cut_text(text), 200, None, draft.generation_id)

    def _cut_text(self, text: str) -> str:
        return f"stream cut after {self._assembly.text_chars} characters of text: {text}"

    def _measured(self) -> Measured:
        return Measured.since(self._started_s, first_token_ms=self._first_token_ms)
