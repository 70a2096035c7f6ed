"""The OpenAPI document: errors, security and headers that the routes share."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

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
OPEN = frozenset({"/healthz", "/readyz"})


def describe(app: FastAPI) -> None:
    """Give the application its OpenAPI document, made once when it is first asked for."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend it


def _document(app: FastAPI) -> Json:
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    for model in (Problem, OpenAIError):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return document


def _complete(path: str, operation: Json) -> None:
    responses = operation["responses"]
    if path not in OPEN:
        operation["security"] = [{"key": []}]
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
