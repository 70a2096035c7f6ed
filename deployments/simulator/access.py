"""Whose request it is."""

from __future__ import annotations

from starlette.requests import Request

from deployments.simulator.refusals import Refusal, error_body
from deployments.simulator.simulator import Simulator
from deployments.simulator.wire import to_json


def bearer_key(request: Request) -> str:
    """Return the API key; raise the 401 of a missing or refused one."""
    simulator: Simulator = request.app.state.simulator
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise unauthorized("Missing Authentication header")
    config = simulator.config
    if config.refuse_key or (config.accepted_keys and key.strip() not in config.accepted_keys):
        raise unauthorized("User not found.")
    return key.strip()


def unauthorized(message: str) -> Refusal:
    """Return the 401 in its two readings."""
    body = error_body(401, message, {"error_type": "authentication"})
    return Refusal(401, to_json(body), {"content-type": "application/json"})
