"""The application: routes, error answers and the guard around them."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from deployments.api.chat.endpoint import ChatEndpoint
from deployments.api.chat.routes import router as chat
from deployments.api.guard import CHAT_PATH, Guard
from deployments.api.openapi import describe
from deployments.api.page.routes import router as page
from deployments.api.problems import install_error_handlers, unexpected
from deployments.api.routes.backtests import router as backtests
from deployments.api.routes.budgets import router as budgets
from deployments.api.routes.cache import router as cache
from deployments.api.routes.canaries import router as canaries
from deployments.api.routes.decisions import router as decisions
from deployments.api.routes.health import router as health
from deployments.api.routes.limits import router as limits
from deployments.api.routes.policies import router as policies
from deployments.api.routes.reports import router as reports
from deployments.api.routes.tasks import router as tasks
from deployments.api.state import ApiState, ReadCaller
from deployments.api.tracing import TracedRequests


def create_application(state: ApiState) -> ASGIApp:
    """Return the ASGI application over the open state."""
    answering = ServerErrorMiddleware(ChatEndpoint(state), handler=unexpected)
    guarded = Guard(
        routed(state),
        direct=Route(CHAT_PATH, answering, methods=["POST"]),
        keys=state.keys,
        gate=state.gate,
        options=state.options,
        metrics=state.metrics,
    )
    spans = state.opened.spans
    return TracedRequests(guarded, spans) if spans.are_wanted else guarded


def routed(state: ApiState) -> FastAPI:
    """Return every route, for requests whose caller and body are known to be good."""
    app = FastAPI(
        title="Switchyard",
        version=version("switchyard"),
        openapi_url=None,  # served by a guarded route below
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.api = state
    for router in (
        chat,  # first: routes are tried in order, and this is the busiest
        tasks,
        decisions,
        budgets,
        limits,
        policies,
        canaries,
        backtests,
        reports,
        cache,
        health,
        page,
    ):
        app.include_router(router)
    install_error_handlers(app)
    describe(app, open_to_all=state.keys.open_to_all)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(caller: ReadCaller) -> JSONResponse:
        return JSONResponse(app.openapi())

    return app
