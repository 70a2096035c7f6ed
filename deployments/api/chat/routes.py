"""`POST /v1/chat/completions` and `GET /v1/models`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.api.chat.asking import AUTO, POLICY
from deployments.api.chat.documents import CHAT_BODY, COMPLETION, MODELS
from deployments.api.chat.endpoint import ChatEndpoint
from deployments.api.chat.listing import model_document
from deployments.api.state import ReadCaller, State
from tasks.adapters.store.catalogue import read_cards
from tasks.adapters.store.policies import read_policies

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])


class HandedOver(Response):
    """A response that an ASGI application of its own answers."""

    def __init__(self, answering: ASGIApp) -> None:
        super().__init__()
        self._answering = answering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the connection over."""
        await self._answering(scope, receive, send)


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
async def complete(state: State) -> Response:
    """Answer with the model that the policy and budgets allow; `model` may be auto."""
    return HandedOver(ChatEndpoint(state))


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
