"""A streamed answer: server-sent events, from the first token on.

The HTTP answer begins with the first piece, so that a fallback before it is invisible and a
failure still has its status; or a second after a model was chosen, so that a slow model is seen.
A client that goes away cancels the upstream; what the call cost is booked by the attempt.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

from deployments.api.chat.answers import Chunks, chosen_headers, raw_headers
from deployments.api.chat.asking import ChatAsked
from deployments.api.chat.refusals import refusal_of
from deployments.api.chat.sink import ClientSink
from deployments.api.problems import ApiProblem, openai_error, problem_of, problem_response
from deployments.api.state import ApiState
from models.completion import StreamDelta
from models.errors import SwitchyardError
from models.request import Trace
from models.result import RoutingResult, Status
from tasks.adapters.outcomes import abandon

BEGIN_AFTER_S = 1.0
KEEP_ALIVE_S = 15.0
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": switchyard is waiting for the model\n\n"


class ClientGone(Exception):
    """The client has closed its connection."""


class ChatStream:
    """One streamed answer, as an ASGI application."""

    def __init__(self, state: ApiState, asked: ChatAsked, trace: Trace) -> None:
        self._state, self._asked, self._trace = state, asked, trace
        self._sink = ClientSink()
        self._chunks: Chunks | None = None
        self._last_reason: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request and pass on what it brings."""
        lanes = self._state.lanes
        run = asyncio.create_task(
            lanes.run(self._asked.request, self._trace, sink=self._sink), name="chat-stream"
        )
        gone = asyncio.create_task(_gone(receive))
        try:
            await self._answer(run, gone, _sending(send), (scope, receive, send))
        except ClientGone:
            await self._leave(run)
        except asyncio.CancelledError:
            await self._leave(run)
            raise
        finally:
            gone.cancel()

    async def _answer(
        self,
        run: asyncio.Task[RoutingResult],
        gone: asyncio.Task[None],
        send: Send,
        asgi: tuple[Scope, Receive, Send],
    ) -> None:
        piece = await self._first_piece(run, gone)
        if piece is None and run.done():
            problem = await self._problem(run)
            if problem is not None:
                await problem_response(problem, asgi[0]["path"])(*asgi)
                return
        await self._begin(send, run if run.done() else None)
        while piece is not None or not run.done():
            if piece is not None:
                await self._send_piece(send, piece)
            piece = await self._next_piece(run, gone, send)
        await self._end(send, run)

    async def _first_piece(
        self, run: asyncio.Task[RoutingResult], gone: asyncio.Task[None]
    ) -> StreamDelta | None:
        """Return the first piece; None when the run ends or begins to take long before it."""
        chosen = asyncio.create_task(self._sink.chosen_once.wait())
        try:
            await asyncio.wait({run, gone, chosen}, return_when=asyncio.FIRST_COMPLETED)
            if not chosen.done() or gone.done():
                _demand_client(gone)
                return None
        finally:
            chosen.cancel()
        return await self._wait_for_piece(run, gone, BEGIN_AFTER_S)

    async def _next_piece(
        self, run: asyncio.Task[RoutingResult], gone: asyncio.Task[None], send: Send
    ) -> StreamDelta | None:
        while True:
            piece = await self._wait_for_piece(run, gone, KEEP_ALIVE_S)
            if piece is not None or run.done():
                return piece
            await send(_body(KEEP_ALIVE))

    async def _wait_for_piece(
        self, run: asyncio.Task[RoutingResult], gone: asyncio.Task[None], patience_s: float
    ) -> StreamDelta | None:
        pieces = self._sink.pieces
        if pieces.empty() and not run.done():
            getter = asyncio.create_task(pieces.get())
            waited = {getter, run, gone}
            await asyncio.wait(waited, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if getter.done():
                return getter.result()
            getter.cancel()
        _demand_client(gone)
        return None if pieces.empty() else pieces.get_nowait()

    async def _begin(self, send: Send, run: asyncio.Task[RoutingResult] | None) -> None:
        sink, created = self._sink, int(time.time())
        decision_id, policy, model_id = sink.decision_id, sink.policy, sink.model_id
        if run is not None and decision_id is None:  # a stored answer: nobody was asked
            result = run.result()
            decision_id, policy, model_id = result.decision_id, result.policy, result.model or ""
        if decision_id is None:
            raise RuntimeError("an answer begins before its decision")
        self._chunks = Chunks(decision_id, policy, model_id, created)
        headers = chosen_headers(decision_id, policy, model_id) | {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache, no-store",
            "X-Accel-Buffering": "no",
        }
        start = {"type": "http.response.start", "status": 200, "headers": raw_headers(headers)}
        await send(start)
        await send(_event(self._chunks.first()))

    async def _send_piece(self, send: Send, piece: StreamDelta) -> None:
        if piece.finish_reason is not None:
            self._last_reason = piece.finish_reason
        await send(_event(self._known_chunks().piece(piece)))

    async def _end(self, send: Send, run: asyncio.Task[RoutingResult]) -> None:
        chunks, problem = self._known_chunks(), await self._problem(run)
        if problem is not None:
            await send(_event(chunks.error(openai_error(problem))))
        else:
            result = run.result()
            if not self._sink.started:
                await send(_event(chunks.whole(result)))
            if self._last_reason in (None, "error"):
                await send(_event(chunks.finish(result.finish_reason)))
            await send(_event(chunks.last(result)))
        await send({"type": "http.response.body", "body": DONE, "more_body": False})

    async def _problem(self, run: asyncio.Task[RoutingResult]) -> ApiProblem | None:
        """Return why the ended run brought no answer; None when it did."""
        try:
            result = run.result()
        except SwitchyardError as error:
            return problem_of(error)
        self._state.metrics.note_result(result, self._trace)
        if result.status is Status.COMPLETED:
            return None
        asked = self._asked.request.model is not None
        return await refusal_of(self._state.opened, result, asked=asked)

    async def _leave(self, run: asyncio.Task[RoutingResult]) -> None:
        """End the call that nobody listens to; one that is only being booked is let finish."""
        if self._sink.has_finished:
            while not self._sink.pieces.empty():
                self._sink.pieces.get_nowait()
            self._state.start(_ended(run))
            return
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        if self._sink.decision_id is not None:
            await abandon(self._state.opened, self._sink.decision_id, "the client went away")

    def _known_chunks(self) -> Chunks:
        if self._chunks is None:
            raise RuntimeError("a piece comes before the answer has begun")
        return self._chunks


async def _ended(run: asyncio.Task[RoutingResult]) -> None:
    await run


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _demand_client(gone: asyncio.Task[None]) -> None:
    if gone.done():
        raise ClientGone


def _sending(send: Send) -> Send:
    async def send_or_leave(message: Message) -> None:
        try:
            await send(message)
        except OSError as error:
            raise ClientGone from error

    return send_or_leave


def _event(document: dict[str, Any]) -> Message:
    return _body(b"data: " + orjson.dumps(document) + b"\n\n")


def _body(content: bytes) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": True}
