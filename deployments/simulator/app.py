"""The ASGI application: routes, faults on every path, and errors as answers."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.simulator import account, batches, control, listing
from deployments.simulator.chat import chat_completions
from deployments.simulator.config import SimulatorConfig
from deployments.simulator.delivery import disconnected
from deployments.simulator.embeddings import embeddings
from deployments.simulator.faults import BATCH_PATH, CHAT_PATH, Fault, FaultRule, Subject
from deployments.simulator.refusals import Details, Refusal, error_body, refusal_of
from deployments.simulator.simulator import Simulator
from deployments.simulator.wire import to_json

API = "/api/v1"
ROUTES = (
    (CHAT_PATH, "POST", chat_completions),
    ("/embeddings", "POST", embeddings),
    (BATCH_PATH, "POST", batches.create_batch),
    (BATCH_PATH, "GET", batches.list_batches),
    (BATCH_PATH + "/{id}", "GET", batches.show_batch),
    (BATCH_PATH + "/{id}", "DELETE", batches.delete_batch),
    ("/models", "GET", listing.list_models),
    ("/models/{author}/{slug}/endpoints", "GET", listing.list_endpoints),
    ("/model/{author}/{slug}", "GET", listing.show_model),
    ("/key", "GET", account.show_key),
    ("/auth/key", "GET", account.show_key),
    ("/credits", "GET", account.show_credits),
    ("/generation", "GET", account.show_generation),
)
CONTROL = (
    ("/simulator/faults", "POST", control.add_faults),
    ("/simulator/faults", "DELETE", control.clear_faults),
    ("/simulator/faults", "GET", control.list_faults),
    ("/simulator/charges", "GET", control.list_charges),
    ("/simulator/state", "GET", control.show_state),
)


def create_app(config: SimulatorConfig) -> Starlette:
    """Return the simulator as an ASGI application; `state.simulator` is its inside."""
    simulator = Simulator(config)
    routes = [Route(API + path, endpoint, methods=[method]) for path, method, endpoint in ROUTES]
    routes += [Route(path, endpoint, methods=[method]) for path, method, endpoint in CONTROL]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Front, simulator=simulator)],
        exception_handlers={Refusal: refuse, HTTPException: refuse_path, OSError: refuse_disk},
    )
    app.state.simulator = simulator
    return app


class Front:
    """Counts answers, and applies the faults of paths other than chat."""

    def __init__(self, app: ASGIApp, simulator: Simulator) -> None:
        self.app, self.simulator = app, simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless a rule refuses it or lets it hang."""
        path = scope.get("path", "")

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.simulator.answers[f"{path} {message['status']}"] += 1
            await send(message)

        rule = self.met_fault(scope, path.removeprefix(API)) if path.startswith(API) else None
        if rule is None:
            await self.app(scope, receive, counted)
        elif rule.fault is Fault.HANG:
            await asyncio.wait({asyncio.ensure_future(disconnected(receive))}, timeout=rule.seconds)
        else:
            details = Details(now=self.simulator.config.clock())
            await response_of(refusal_of(rule.fault, details, rule))(scope, receive, counted)

    def met_fault(self, scope: Scope, path: str) -> FaultRule | None:
        """Return the fault of a path that has no rules of its own about models and texts."""
        if path in (CHAT_PATH, BATCH_PATH) or not self.simulator.faults.standings:
            return None
        return self.simulator.faults.fire(Subject(path, Headers(scope=scope)))


def response_of(refusal: Refusal) -> Response:
    """Return the refusal as a response."""
    return Response(refusal.body, refusal.status, refusal.headers)


async def refuse(request: Request, error: Exception) -> Response:
    """Answer with the refusal that was raised."""
    if not isinstance(error, Refusal):
        raise error
    return response_of(error)


async def refuse_path(request: Request, error: Exception) -> Response:
    """Answer an unknown path or method in OpenRouter's envelope."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    body = error_body(status, "Not found", {"error_type": "not_found"})
    return Response(to_json(body), status, media_type="application/json")


async def refuse_disk(request: Request, error: Exception) -> Response:
    """Answer 500 when a charge cannot be written: an answer without one would be a gift."""
    body = error_body(500, f"charge log: {error}", {"error_type": "server"})
    return Response(to_json(body), 500, media_type="application/json")
