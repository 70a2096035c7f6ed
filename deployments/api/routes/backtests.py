"""A changed policy over recorded decisions."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request

from deployments.api.queries import SPAN_DEFAULT, Since, Until
from deployments.api.routes.policies import BODY, policies_of
from deployments.api.state import ReadCaller, State
from models.backtest.report import BacktestReport
from tasks.adapters.backtests import backtest

router = APIRouter(prefix="/api/routing", tags=["policies"])


@router.post(
    "/backtest",
    summary="What changed policies would have done",
    openapi_extra={"requestBody": BODY | {"description": "Policies as `POST policies` takes them"}},
)
async def run_backtest(
    request: Request, state: State, caller: ReadCaller, since: Since = None, until: Until = None
) -> BacktestReport:
    """Run them over the decisions of the span, at most the newest 20,000; nothing is changed."""
    end = until or datetime.now(UTC)
    start = since or end - SPAN_DEFAULT
    return await backtest(state.opened.database, await policies_of(request), start, end)
