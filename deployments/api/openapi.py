"""The OpenAPI document: errors, security and headers that the routes share."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from deployments.api.bodies import BUDGET_BODY, POLICY_BODY, REQUEST_BODY, model_schemas
from deployments.api.documents import AcceptedDocument
from deployments.api.problems import MEDIA_TYPE, OPENAI_PATH, OpenAIError, Problem

Json = dict[str, Any]  # JSON Schema
DESCRIPTION = (
    "Routes tasks of AI workers to the right LLM inside budgets that hold. Money is USD as decimal"
    " strings, times are ISO 8601 with zone. Errors are RFC 9457 problem details, below /v1 in"
    " OpenAI's shape."
)
# What any guarded route may answer beside its own.
SHARED = {
    "400": "The request cannot be read",
    "401": "No key, or one that is not accepted",
    "403": "The key has not the scope, or another site's page asks",
    "413": "The body is too large",
    "422": "A parameter or the body is not valid",
    "429": "Too many requests; see Retry-After",
    "503": "The database or Prefect does not answer",
}
BODIES = {
    ("post", "/api/routing/tasks"): "Request",
    ("post", "/api/routing/select"): "Request",
    ("put", "/api/routing/budgets"): "Budget",
}
OPEN = frozenset({"/healthz", "/readyz"})


def describe(app: FastAPI, *, open_to_all: bool) -> None:
    """Give the application its OpenAPI document, made once when it is first asked for.

    `open_to_all`: no key is asked for, so the document names none.
    """

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, open_to_all=open_to_all)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it


def _document(app: FastAPI, *, open_to_all: bool) -> Json:
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    schemas |= model_schemas(Problem, OpenAIError, AcceptedDocument)
    schemas |= {"Request": REQUEST_BODY, "Budget": BUDGET_BODY, "PolicyBody": POLICY_BODY}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    guarded: list[Json] = [] if open_to_all else [{"key": []}]
    if guarded:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(path, operation, guarded)
            if (body := BODIES.get((method, path))) is not None:
                operation["requestBody"]["content"]["application/json"]["schema"] = {
                    "$ref": f"#/components/schemas/{body}"
                }
    return document


def _complete(path: str, operation: Json, guarded: list[Json]) -> None:
    responses = operation["responses"]
    if path not in OPEN:
        if guarded:
            operation["security"] = guarded
        for status, description in SHARED.items():
            responses[status] = {"description": description}
    for status, response in responses.items():
        if status >= "400" and "x-body" not in response:
            response["content"] = _error_content(path)
        response.pop("x-body", None)


def _error_content(path: str) -> Json:
    name, media = ("OpenAIError", "application/json")
    if not path.startswith(OPENAI_PATH):
        name, media = "Problem", MEDIA_TYPE
    return {media: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
