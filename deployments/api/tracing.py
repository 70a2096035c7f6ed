"""A server span around every request, where spans are collected at all."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.guard import OPEN_PATHS
from tasks.adapters.spans import Spans


class TracedRequests:
    """ASGI middleware; a request that carries a `traceparent` goes on in its caller's trace."""

    def __init__(self, app: ASGIApp, spans: Spans) -> None:
        self._app, self._spans = app, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on inside its span; health checks and the page's files have none."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        with self._spans.request(scope["method"], dict(Headers(scope=scope))) as span:

            async def noted_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, noted_send)
            # the route, not the path: ids would make a name of its own for each request
            if (route := getattr(scope.get("route"), "path", None)) is not None:
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", route)
