"""For whoever watches the process: alive, ready, metrics."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from deployments.api.documents import HealthDocument, ReadinessDocument
from deployments.api.state import ApiState, ReadCaller, State
from models.errors import InvalidConfiguration, PrefectFailed, WorldFailed
from tasks.adapters.store.catalogue import newest_price_at
from tasks.adapters.store.limits import read_limits

OK = "ok"
router = APIRouter(tags=["process"])


@router.get("/healthz", summary="The process answers")
async def health() -> HealthDocument:
    """Say so; nothing is asked of any other part."""
    return HealthDocument()


@router.get(
    "/readyz",
    summary="Every part that a request needs answers",
    response_model=ReadinessDocument,
    responses={503: {"model": ReadinessDocument, "description": "Not now", "x-body": True}},
)
async def readiness(state: State) -> Response:
    """Ask the database and, for lane `flow`, Prefect; say whether an upstream is configured."""
    parts = {
        "database": await _database(state),
        "upstream": _upstream(state),
        "prefect": await _prefect(state),
    }
    ready = all(part == OK or part == "not used" for part in parts.values())
    body = ReadinessDocument(ready=ready, parts=parts).model_dump_json()
    return Response(body, 200 if ready else 503, media_type="application/json")


async def _database(state: ApiState) -> str:
    try:
        priced_at = await newest_price_at(state.opened.database)
    except WorldFailed as failure:
        return str(failure)
    return OK if priced_at is not None else "there are no prices"


def _upstream(state: ApiState) -> str:
    settings = state.opened.settings
    try:
        url = settings.upstream_url
    except InvalidConfiguration as problem:
        return str(problem)
    own = settings.openrouter_base_url is not None  # any other upstream may need no key
    return OK if url and (settings.api_key or own) else "no key for the upstream"


async def _prefect(state: ApiState) -> str:
    if not state.lanes.flow_possible:
        return "not used"
    try:
        return await state.lanes.prefect_health()
    except PrefectFailed as failure:
        return str(failure)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(state: State, caller: ReadCaller) -> Response:
    """Return counters of this process, and the budgets and rate limits of now."""
    opened = state.opened
    limits = await read_limits(opened.database, opened.limits.account)
    text = state.metrics.text(await opened.ledger.budgets(), state.gate.running, limits)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
