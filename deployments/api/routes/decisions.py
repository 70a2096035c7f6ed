"""Decisions: the list, each one explained, and what callers thought of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from deployments.api.cursors import cursor_of, place_of
from deployments.api.documents import (
    DecisionsDocument,
    ExplainedDecision,
    Feedback,
    FeedbackStored,
)
from deployments.api.queries import NO_PAGE, PAGE_DEFAULT, Cursor, Limit, SpanQuery
from deployments.api.state import ReadCaller, RouteCaller, State
from models.result import Status
from tasks.adapters.explained import explained_decision
from tasks.adapters.store.feedback import save_feedback
from tasks.adapters.store.listings import DecisionFilter, list_decisions

router = APIRouter(prefix="/api/routing", tags=["decisions"])
StatusQuery = Annotated[Status | None, Query(description="Only decisions that ended so")]


@router.get(
    "/decisions",
    summary="Decisions, newest first",
    response_model=DecisionsDocument,
    responses=NO_PAGE,
)
async def read_decisions(
    state: State,
    caller: ReadCaller,
    span: SpanQuery,
    status: StatusQuery = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return a page of decisions with their model, cost and reasons."""
    wanted = DecisionFilter(
        span.since, span.until, span.policy, span.model, span.worker, span.task_type, status
    )
    place = place_of(cursor)
    items, after = await list_decisions(state.opened.database, wanted, after=place, limit=limit)
    return {"items": items, "next_cursor": cursor_of(after)}


@router.get(
    "/decisions/{decision_id}",
    summary="One decision, explained",
    response_model=ExplainedDecision,
    responses={404: {"description": "There is no such decision"}},
)
async def read_decision(decision_id: UUID, state: State, caller: ReadCaller) -> dict[str, Any]:
    """Return why this model: reasons, what was considered, attempts, snapshot and plan."""
    return await explained_decision(state.opened, decision_id)


@router.post(
    "/feedback",
    summary="Say what an answer was worth",
    responses={404: {"description": "There is no such decision or attempt"}},
)
async def give_feedback(feedback: Feedback, state: State, caller: RouteCaller) -> FeedbackStored:
    """Store a score for a decision, or for one of its attempts; the last word counts."""
    await save_feedback(
        state.opened.database,
        feedback.decision_id,
        attempt_no=feedback.attempt,
        score=Decimal(str(round(feedback.score, 4))),
        given_by=caller.name,
    )
    return FeedbackStored(
        decision_id=feedback.decision_id, attempt=feedback.attempt, score=feedback.score
    )
