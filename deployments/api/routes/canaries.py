"""Policy versions on trial: what they did, and how a person ends them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from deployments.api.documents import CanariesDocument, CanaryEnd, CanaryEnded
from deployments.api.queries import Text
from deployments.api.state import AdminCaller, ReadCaller, State
from tasks.adapters.canaries import canary_evidence
from tasks.adapters.store.canaries import end_canary

router = APIRouter(prefix="/api/routing", tags=["policies"])
PolicyName = Annotated[Text, Path(min_length=1, max_length=200)]


@router.get(
    "/canaries", summary="The newest canary of each policy", response_model=CanariesDocument
)
async def list_canaries(state: State, caller: ReadCaller) -> dict[str, Any]:
    """Return what each canary and the version beside it did, and what that asks for."""
    found = await canary_evidence(state.opened.database)
    return {"items": [one.document() for one in found], "next_cursor": None}


@router.post(
    "/canaries/{name}",
    summary="Promote or abort a canary",
    responses={404: {"description": "The policy has no running canary"}},
)
async def end(name: PolicyName, body: CanaryEnd, state: State, caller: AdminCaller) -> CanaryEnded:
    """Put the canary's version in force, or end the trial; it holds at once."""
    promote = body.action == "promote"
    reason = body.reason.replace("\0", "\ufffd") or f"{body.action} by {caller.name} over HTTP"
    ended = await end_canary(
        state.opened.database, name, "promoted" if promote else "aborted", reason
    )
    state.lanes.reads.forget()
    return CanaryEnded(
        name=ended.name,
        version=ended.version,
        status="promoted" if promote else "aborted",
        end_reason=ended.end_reason,
    )
