"""Query parameters that several routes share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import AfterValidator, AwareDatetime

from tasks.adapters.store.reports import Span

SPAN_DEFAULT = timedelta(days=30)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
PAGE_DEFAULT, PAGE_MAX = 100, 1000
NO_PAGE: dict[int | str, dict[str, Any]] = {404: {"description": "The cursor leads nowhere"}}


def _within_reason(moment: datetime) -> datetime:
    """Return the moment, no earlier or later than there can be rows: years have four digits."""
    return min(max(moment, EARLIEST), LATEST)


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd")


Text = Annotated[str, AfterValidator(_storable)]
Moment = Annotated[AwareDatetime, AfterValidator(_within_reason)]
Since = Annotated[Moment | None, Query(description="From this moment on; default 30 days ago")]
Until = Annotated[Moment | None, Query(description="Before this moment; default now")]
Name = Annotated[Text | None, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Cursor = Annotated[Text | None, Query(max_length=2000, description="`next_cursor` of a page")]


async def _span(  # async for the reason in deployments/api/state.py
    since: Since = None,
    until: Until = None,
    policy: Name = None,
    model: Name = None,
    worker: Name = None,
    task_type: Name = None,
) -> Span:
    # A minute ahead: rows written while this is asked belong to the answer.
    end = until or datetime.now(UTC) + timedelta(minutes=1)
    return Span(since or end - SPAN_DEFAULT, end, policy, model, worker, task_type)


SpanQuery = Annotated[Span, Depends(_span)]
