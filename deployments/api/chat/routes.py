"""`POST /v1/chat/completions` and `GET /v1/models`."""

from __future__ import annotations

import time
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from deployments.api.chat.answers import answer_headers, completion_document
from deployments.api.chat.asking import AUTO, POLICY, read_chat
from deployments.api.chat.documents import CHAT_BODY, COMPLETION, MODELS
from deployments.api.chat.listing import model_document
from deployments.api.chat.refusals import refusal_of
from deployments.api.chat.stream import ChatStream
from deployments.api.problems import problem_response
from deployments.api.state import ReadCaller, State, caller_of, state_of
from models.api_key import Scope
from models.result import Status
from tasks.adapters.store.catalogue import read_cards
from tasks.adapters.store.policies import read_policies

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])


class Streamed(Response):
    """A response that an ASGI application of its own answers."""

    def __init__(self, stream: ChatStream) -> None:
        super().__init__()
        self._stream = stream

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Hand the connection over."""
        await self._stream(scope, receive, send)


@router.post(
    "/chat/completions",
    summary="A chat completion, whole or streamed",
    response_class=Response,
    openapi_extra={"requestBody": CHAT_BODY},
    responses={
        200: COMPLETION,
        402: {"description": "A budget refuses it, or it waits for money or a person"},
        404: {"description": "There is no such policy or model"},
        409: {"description": "The idempotency key was used for another request"},
        502: {"description": "Every model failed"},
        504: {"description": "The deadline passed"},
    },
)
async def complete(request: Request) -> Response:
    """Answer with the model that the policy and budgets allow; `model` may be auto."""
    state, caller = state_of(request), caller_of(request, Scope.ROUTE)
    asked = read_chat(await request.body(), request.headers, caller)
    trace = state.lanes.choose(asked.trace)
    if asked.stream:
        return Streamed(ChatStream(state, asked, trace))
    result = await state.lanes.run(asked.request, trace)
    state.metrics.note_result(result, trace)
    if result.status is not Status.COMPLETED:
        problem = await refusal_of(state.opened, result, asked=asked.request.model is not None)
        return problem_response(problem, request.url.path)
    document = completion_document(result, int(time.time()))
    return Response(
        orjson.dumps(document), headers=answer_headers(result), media_type="application/json"
    )


@router.get("/models", summary="What `model` may be", responses={200: MODELS})
async def list_models(state: State, caller: ReadCaller) -> dict[str, Any]:
    """Return auto, every active policy, and every model with a price."""
    policies = await read_policies(state.opened.database)
    cards = await read_cards(state.opened.database)
    names = [AUTO, *(f"{POLICY}{policy.name}" for policy in policies if policy.is_active)]
    usable = [card for card in cards if card.price is not None and not card.suspended_reason]
    data = [model_document(name, None) for name in names]
    data += [model_document(card.model_id, card) for card in usable]
    return {"object": "list", "data": data, "total_count": len(data), "links": {"next": None}}
