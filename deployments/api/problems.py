"""Errors as RFC 9457 problem details, or in OpenAI's shape below /v1."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from models.errors import (
    BadInput,
    BudgetExceeded,
    DatabaseFailed,
    IdempotencyConflict,
    NoBudget,
    NotFound,
    PostgresFailed,
    PrefectFailed,
    Refused,
    SwitchyardError,
    UpstreamFailed,
    WorldFailed,
)

MEDIA_TYPE = "application/problem+json"
OPENAI_PATH = "/v1/"
logger = logging.getLogger("switchyard.api")

# The first class that fits decides; the tree is in models/errors.
STATUS_OF: tuple[tuple[type[SwitchyardError], int], ...] = (
    (NotFound, 404),
    (IdempotencyConflict, 409),
    (BadInput, 422),
    (BudgetExceeded, 402),
    (NoBudget, 402),
    (Refused, 409),
    (DatabaseFailed, 503),
    (PostgresFailed, 503),
    (PrefectFailed, 503),
    (UpstreamFailed, 502),
    (WorldFailed, 503),
)
OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


class Problem(BaseModel):
    """An error, as RFC 9457 describes it; `problems` names every part that is wrong."""

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    problems: list[str] = Field(default_factory=list)
    decision_id: str | None = None


class OpenAIErrorDetail(BaseModel):
    """The error inside OpenAI's envelope; OpenRouter's SDK wants the code to be a number."""

    message: str
    type: str
    param: str | None = None
    code: int


class OpenAIError(BaseModel):
    """An error in the shape that OpenAI's clients read."""

    error: OpenAIErrorDetail


class ApiProblem(Exception):
    """An error with the status that answers it."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        problems: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        decision_id: str | None = None,
        kind: str | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.problems = status, detail, problems
        self.headers, self.decision_id, self.kind = dict(headers or {}), decision_id, kind


def problem_response(problem: ApiProblem, path: str) -> Response:
    """Return the answer to a problem, in the shape that the path's clients read."""
    if path.startswith(OPENAI_PATH):
        if problem.status == 422:  # what OpenAI answers to a wrong parameter
            problem.status = 400
        body: dict[str, Any] = openai_error(problem)
        media_type = "application/json"
    else:
        body, media_type = problem_document(problem), MEDIA_TYPE
    return Response(
        orjson.dumps(body), problem.status, headers=problem.headers, media_type=media_type
    )


def problem_document(problem: ApiProblem) -> dict[str, Any]:
    """Return the RFC 9457 document."""
    return Problem(
        type="about:blank" if problem.kind is None else f"urn:switchyard:{problem.kind}",
        title=http.HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        problems=list(problem.problems),
        decision_id=problem.decision_id,
    ).model_dump(mode="json", exclude_none=True)


def openai_error(problem: ApiProblem) -> dict[str, Any]:
    """Return OpenAI's error envelope."""
    kind = problem.kind or OPENAI_TYPES.get(problem.status, "api_error")
    error: dict[str, Any] = {
        "message": problem.detail,
        "type": kind,
        "param": None,
        "code": problem.status,
    }
    if problem.decision_id is not None:
        error["metadata"] = {"decision_id": problem.decision_id}
    return {"error": error}


def problem_of(error: SwitchyardError) -> ApiProblem:
    """Return the problem that an expected error is."""
    status = next((status for kind, status in STATUS_OF if isinstance(error, kind)), 500)
    problems = getattr(error, "problems", ())
    headers = {"Retry-After": "5"} if status == 503 else {}
    return ApiProblem(status, _storable(str(error)), problems=tuple(problems), headers=headers)


def as_problem(error: ApiProblem | SwitchyardError) -> ApiProblem:
    """Return the problem that an error is, if it is not one already."""
    return error if isinstance(error, ApiProblem) else problem_of(error)


def validation_problem(errors: list[Any], what: str = "request") -> ApiProblem:
    """Return the problem of pydantic's errors: every wrong part named, no input repeated."""
    lines = tuple(_line(error) for error in errors)
    return ApiProblem(422, f"the {what} is not valid: {'; '.join(lines)}", problems=lines)


def _line(error: Any) -> str:  # pydantic's ErrorDetails
    where = ".".join(str(part) for part in error["loc"]) or "body"
    return _storable(f"{where}: {error['msg'].removeprefix('Value error, ')}")


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _allowed(request: Request) -> str:
    """Return the methods of every route of this path; the framework names one route's only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    methods = {
        method
        for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    return ", ".join(sorted(methods))


async def unexpected(request: Request, error: Exception) -> Response:
    """Log an error that nobody foresaw, and tell nothing of it."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(ApiProblem(500, "an internal error"), request.url.path)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of the application as a problem; the last one is logged."""

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, SwitchyardError)
        return problem_response(problem_of(error), request.url.path)

    async def stated(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiProblem)
        return problem_response(error, request.url.path)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError | ValidationError)
        return problem_response(validation_problem(list(error.errors())), request.url.path)

    async def by_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(request)
        problem = ApiProblem(error.status_code, str(error.detail), headers=headers)
        return problem_response(problem, request.url.path)

    app.add_exception_handler(SwitchyardError, known)
    app.add_exception_handler(ApiProblem, stated)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, by_status)
    app.add_exception_handler(Exception, unexpected)
