"""A chat request from its body to its answer, as an ASGI application of its own.

The guard hands requests over directly: FastAPI's layers around a route cost more than all of this.
"""

from __future__ import annotations

import time

import orjson
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from deployments.api.access import Principal
from deployments.api.chat.answers import answer_headers, completion_document, raw_headers
from deployments.api.chat.asking import ChatAsked, read_chat
from deployments.api.chat.refusals import refusal_of
from deployments.api.chat.stream import ChatStream
from deployments.api.problems import ApiProblem, as_problem, problem_response
from deployments.api.state import ApiState
from models.api_key import Scope
from models.errors import SwitchyardError
from models.request import Trace
from models.result import RoutingResult, Status


class ChatEndpoint:
    """Answers what the guard has let through: the body is one message, the caller is known."""

    def __init__(self, state: ApiState) -> None:
        self._state = state

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer with the model that the policy and budgets allow, or say why not."""
        try:
            asked = await _read(scope, receive)
            trace = self._state.lanes.choose(asked.trace)
            if asked.stream:
                await ChatStream(self._state, asked, trace)(scope, receive, send)
            else:
                await _send_whole(await self._completed(asked, trace), send)
        except (ApiProblem, SwitchyardError) as error:
            await problem_response(as_problem(error), scope["path"])(scope, receive, send)

    async def _completed(self, asked: ChatAsked, trace: Trace) -> RoutingResult:
        state = self._state
        result = await state.lanes.run(asked.request, trace)
        state.metrics.note_result(result, trace)
        if result.status is not Status.COMPLETED:
            raise await refusal_of(state.opened, result, asked=asked.request.model is not None)
        return result


async def _read(scope: AsgiScope, receive: Receive) -> ChatAsked:
    caller: Principal = scope["state"]["principal"]
    caller.demand(Scope.ROUTE)
    message = await receive()
    return read_chat(message["body"], scope["state"]["headers"], caller)


async def _send_whole(result: RoutingResult, send: Send) -> None:
    body = orjson.dumps(completion_document(result, int(time.time())))
    headers = [
        *raw_headers(answer_headers(result)),
        (b"content-length", b"%d" % len(body)),
        (b"content-type", b"application/json"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
