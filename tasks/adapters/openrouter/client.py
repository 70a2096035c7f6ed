"""The OpenRouter client: one shared instance a process, for any OpenAI-compatible upstream."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

import httpx

from models.completion import Completion, Credits, GenerationRecord, KeySpend, StreamDelta
from models.errors import OutcomeUnknown, UpstreamFailed
from models.pricing import ModelCard
from models.upstream_batch import UpstreamBatch
from tasks.adapters.openrouter.account import credits_from, generation_from, key_spend_from
from tasks.adapters.openrouter.answer import Measured, draft_of, judged
from tasks.adapters.openrouter.base_url import checked_base_url, checked_key
from tasks.adapters.openrouter.batches import BatchItem, batch_from, submit_document
from tasks.adapters.openrouter.calls import ChatCall, chat_document, prompt_texts, to_bytes
from tasks.adapters.openrouter.catalogue import cards_from
from tasks.adapters.openrouter.error_body import read_error
from tasks.adapters.openrouter.failures import Refusal, failure_of
from tasks.adapters.openrouter.streaming import StreamReader
from tasks.adapters.openrouter.strict_json import MalformedJson, parse_document
from tasks.adapters.openrouter.transport import Answer, Order, Timeouts, opened
from tasks.adapters.openrouter.wording import Wording
from tasks.adapters.redaction import Redactor

BODY_BYTES_MAX = 8 * 1024 * 1024
LIST_BYTES_MAX = 32 * 1024 * 1024  # the model list is some 4 MiB and grows
ERROR_BYTES_MAX = 64 * 1024
ERROR_BODY_S = 5.0  # an error's status says enough: its words are not waited for longer
LOOK_UP_S = 30.0
BATCH_BYTES_MAX = 256 * 1024 * 1024  # the answers of a whole batch
BATCH_S = 300.0  # to send or fetch them
JSON = "application/json"
IDLE_TIMEOUT_S = 60.0
# Idle connections are dropped before uvicorn's 5 s, so that none is used while the other side
# closes it: such a request would count as sent.
LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=4.0)
TITLE = "Switchyard"
OnHeaders = Callable[[str], Awaitable[None]]
P = ParamSpec("P")
T = TypeVar("T")


class OpenRouterClient:
    """Asks one upstream; every failure is a leaf of models/errors.py that says what comes next.

    The key goes to the configured host only: URLs are built from the checked base URL, redirects
    are not followed, and proxies of the environment are used for https alone, where they see
    nothing but the host's name. HTTP/1.1, at most 200 connections.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        timeouts: Timeouts | None = None,
        wire: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._key = checked_key(api_key)
        self._base = checked_base_url(base_url, has_key=self._key is not None)
        self._redact = Redactor([] if self._key is None else [self._key])
        self._timeouts = timeouts or Timeouts()
        self._now = now
        self._owns_wire = wire is None
        if wire is None:  # aiohttp takes 0.1 s to import: only who sends loads it
            from tasks.adapters.openrouter.wire import wire_for

            wire = wire_for(self._base, LIMITS)
        self._wire = wire

    def __repr__(self) -> str:
        return f"OpenRouterClient({self._base.text!r})"  # never the key

    async def aclose(self) -> None:
        """Close the connections, unless the transport was given from outside."""
        if self._owns_wire:
            await self._wire.aclose()

    async def complete(
        self, call: ChatCall, *, deadline_s: float, on_headers: OnHeaders | None = None
    ) -> Completion:
        """Return the answer to one call, waited for as a whole.

        `on_headers` gets the generation id when headers arrive, before the body. Raises
        UpstreamFailed leaves; cancelling closes the connection at once.
        """
        started_s, wording = time.monotonic(), self._wording(call)
        order = self._chat_order(call, stream=False, deadline_s=deadline_s)
        async with self._asked(order, wording, on_headers) as answer:
            body = await answer.read(BODY_BYTES_MAX)
        return _completion(body, answer, call, started_s, wording)

    async def stream(
        self,
        call: ChatCall,
        *,
        deadline_s: float,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        on_headers: OnHeaders | None = None,
    ) -> AsyncGenerator[StreamDelta | Completion, None]:
        """Yield deltas, then exactly one Completion.

        `idle_timeout_s` bounds the silence between two pieces, keep-alive comments included.
        Raises as `complete` does; a stream cut before its end is an OutcomeUnknown that says how
        much text had come. Closing the generator closes the connection at once.
        """
        started_s, wording = time.monotonic(), self._wording(call)
        order = self._chat_order(call, stream=True, deadline_s=deadline_s)
        order = replace(order, read_s=idle_timeout_s)
        async with self._asked(order, wording, on_headers) as answer:
            if answer.content_type == "application/json":  # not every upstream streams
                body = await answer.read(BODY_BYTES_MAX)
                completion = _completion(body, answer, call, started_s, wording)
                yield _whole_delta(completion)
            else:
                reader = StreamReader(answer, model_id=call.model_id, started_s=started_s)
                async with contextlib.aclosing(reader.deltas()) as deltas:
                    async for delta in deltas:
                        yield delta
                completion = reader.result(wording)
        yield completion

    async def models(self) -> list[ModelCard]:
        """Return the upstream's model list (`GET /models`), priced now."""
        document = await self._looked_up("/models", bytes_max=LIST_BYTES_MAX)
        return _read(cards_from, document, now=self._now())

    async def create_batch(self, model_id: str, items: Sequence[BatchItem]) -> UpstreamBatch:
        """Submit an asynchronous batch (`POST /batches`); raises as `complete` does."""
        content = to_bytes(submit_document(model_id, items))
        return await self._batch("POST", "/batches", model_id, items, content)

    async def batch(
        self, upstream_id: str, model_id: str, items: Sequence[BatchItem]
    ) -> UpstreamBatch:
        """Return a batch as it is now; its results are in it once it is over."""
        path = f"/batches/{quote(upstream_id, safe='')}"
        return await self._batch("GET", path, model_id, items)

    async def _batch(
        self,
        method: str,
        path: str,
        model_id: str,
        items: Sequence[BatchItem],
        content: bytes | None = None,
    ) -> UpstreamBatch:
        calls, headers = {one.custom_id: one.call for one in items}, self._headers(accept=JSON)
        until = asyncio.get_running_loop().time() + BATCH_S
        order = Order(method, self._base.at(path), headers, until, BATCH_S, content=content)
        async with self._asked(order, Wording(self._redact)) as answer:
            document = _read(parse_document, await answer.read(BATCH_BYTES_MAX))

        def wording(custom_id: str | None) -> Wording:
            call = calls.get(custom_id or "")
            return Wording(self._redact) if call is None else self._wording(call)

        return _read(batch_from, document, model_id=model_id, wording=wording, now=self._now())

    async def generation(self, generation_id: str) -> GenerationRecord | None:
        """Return what a past generation cost, or None while the upstream does not know it."""
        try:
            document = await self._looked_up("/generation", params={"id": generation_id})
        except UpstreamFailed as failure:
            if failure.status == 404:
                return None
            raise
        return _read(generation_from, document, generation_id)

    async def key_spend(self) -> KeySpend:
        """Return what this key has spent (`GET /key`)."""
        return _read(key_spend_from, await self._looked_up("/key"))

    async def credits(self) -> Credits:
        """Return the account's credits (`GET /credits`, needs a management key)."""
        return _read(credits_from, await self._looked_up("/credits"))

    @contextlib.asynccontextmanager
    async def _asked(
        self, order: Order, wording: Wording, on_headers: OnHeaders | None = None
    ) -> AsyncIterator[Answer]:
        """Open the answer to an order; raises the typed failure when its status is not 2xx."""
        async with opened(self._wire, order, self._timeouts) as answer:
            if on_headers is not None and answer.generation_id is not None:
                await on_headers(answer.generation_id)
            if not 200 <= answer.status < 300:
                raise await self._failure(answer, wording)
            yield answer

    async def _failure(self, answer: Answer, wording: Wording) -> UpstreamFailed:
        answer.until = min(answer.until, asyncio.get_running_loop().time() + ERROR_BODY_S)
        try:
            body = await answer.read(ERROR_BYTES_MAX)
        except OutcomeUnknown:  # cut, late or too long: the status alone decides
            body = b""
        return failure_of(
            Refusal(answer.status, answer.headers, read_error(body)),
            now=self._now(),
            generation_id=answer.generation_id,
            wording=wording,
        )

    async def _looked_up(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        bytes_max: int = BODY_BYTES_MAX,
    ) -> dict[str, Any]:
        until = asyncio.get_running_loop().time() + LOOK_UP_S
        headers = self._headers(accept="application/json")
        order = Order("GET", self._base.at(path), headers, until, LOOK_UP_S, params=params)
        async with self._asked(order, Wording(self._redact)) as answer:
            body = await answer.read(bytes_max)
        return _read(parse_document, body)

    def _chat_order(self, call: ChatCall, *, stream: bool, deadline_s: float) -> Order:
        fields = self._base.takes_openrouter_fields
        document = chat_document(call, stream=stream, openrouter_fields=fields)
        return Order(
            "POST",
            self._base.at("/chat/completions"),
            self._headers(accept="text/event-stream" if stream else "application/json"),
            asyncio.get_running_loop().time() + deadline_s,
            self._timeouts.read_s,
            content=to_bytes(document),
        )

    def _headers(self, *, accept: str) -> dict[str, str]:
        headers = {
            "Connection": "keep-alive",
            "Accept": accept,
            "Accept-Encoding": "identity" if accept == "text/event-stream" else "gzip",
            "Content-Type": "application/json",
            "User-Agent": "switchyard",
            "X-OpenRouter-Title": TITLE,
        }
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        return headers

    def _wording(self, call: ChatCall) -> Wording:
        return Wording(self._redact, lambda: prompt_texts(call))


def _completion(
    body: bytes, answer: Answer, call: ChatCall, started_s: float, wording: Wording
) -> Completion:
    try:
        document = parse_document(body)
        draft = draft_of(document, model_id=call.model_id, generation_id=answer.generation_id)
        return judged(draft, Measured.since(started_s), wording)
    except MalformedJson as error:
        kind = wording(answer.content_type or "no content type")
        raise OutcomeUnknown(
            f"the answer ({kind}) cannot be read: {error}",
            answer.status,
            generation_id=answer.generation_id,
        ) from error


def _whole_delta(completion: Completion) -> StreamDelta:
    return StreamDelta(
        completion.content,
        completion.message,
        completion.model_id,
        completion.finish_reason,
    )


def _read(parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Parse what a look-up brought; a look-up is never billed, so only the text matters."""
    try:
        return parse(*args, **kwargs)
    except MalformedJson as error:
        raise OutcomeUnknown(f"the upstream's answer cannot be read: {error}") from error
