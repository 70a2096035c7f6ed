"""What was spent, how models did, and whether the targets are met."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from deployments.api.cursors import decode_cursor, encode_cursor
from deployments.api.documents import CostsDocument, PerformanceDocument
from deployments.api.queries import NO_PAGE, PAGE_DEFAULT, Cursor, Limit, SpanQuery
from deployments.api.state import ReadCaller, State
from models.report import Report
from tasks.adapters.store.costs import CostGroup, cost_report
from tasks.adapters.store.reports import PerformanceGroup, performance_report
from tasks.adapters.store.success import ReportPeriod, success_report

router = APIRouter(prefix="/api/routing", tags=["reports"])
CostGroupBy = Annotated[CostGroup, Query(description="day, week and month are UTC")]
PerformanceGroupBy = Annotated[PerformanceGroup, Query()]
Period = Annotated[ReportPeriod, Query(description="UTC")]


@router.get("/costs", summary="What was spent", response_model=CostsDocument, responses=NO_PAGE)
async def read_costs(
    state: State,
    caller: ReadCaller,
    span: SpanQuery,
    group_by: CostGroupBy = "policy",
    limit: Limit = PAGE_DEFAULT,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return the totals of the whole span and a page of its groups."""
    report = await cost_report(
        state.opened.database, span, group_by, after=_key(cursor), limit=limit
    )
    return _paged(report)


@router.get(
    "/performance", summary="How models did", response_model=PerformanceDocument, responses=NO_PAGE
)
async def read_performance(
    state: State,
    caller: ReadCaller,
    span: SpanQuery,
    group_by: PerformanceGroupBy = "model",
    limit: Limit = PAGE_DEFAULT,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return success, latency, tokens, cost and errors by group."""
    report = await performance_report(
        state.opened.database, span, group_by, after=_key(cursor), limit=limit
    )
    return _paged(report)


@router.get("/report", summary="The success metrics against their targets")
async def read_report(
    state: State, caller: ReadCaller, span: SpanQuery, period: Period = "week"
) -> Report:
    """Return cost per task, success, response time, budget compliance and balance by period.

    At least the last period of the span, and at most the last 400 days, weeks or months.
    """
    return await success_report(state.opened.database, span.since, span.until, period)


def _key(cursor: str | None) -> str | None:
    parts = decode_cursor(cursor, 1)
    return None if parts is None else parts[0]


def _paged(report: dict[str, Any]) -> dict[str, Any]:
    after = report["next_cursor"]
    return report | {"next_cursor": None if after is None else encode_cursor(after)}
