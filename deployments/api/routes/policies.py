"""Policies: which models serve which task types."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from deployments.api.cursors import decode_cursor, encode_cursor
from deployments.api.documents import PoliciesAppliedDocument, PoliciesDocument
from deployments.api.problems import ApiProblem
from deployments.api.queries import NO_PAGE, PAGE_MAX, SPAN_DEFAULT, Cursor, Limit
from deployments.api.state import AdminCaller, ApiState, ReadCaller, State
from models.canary import one_policy
from models.policy import Policy, parse_policy_text
from tasks.adapters.policy_trials import try_policies
from tasks.adapters.store.canaries import start_canary
from tasks.adapters.store.policies import apply_policies, read_policies

router = APIRouter(prefix="/api/routing", tags=["policies"])
DryRun = Annotated[bool, Query(description="Say what would change, change nothing")]
CanaryShare = Annotated[
    float | None,
    Query(gt=0, lt=1, allow_inf_nan=False, description="Share of requests to serve first"),
]
POLICY = {"$ref": "#/components/schemas/PolicyBody"}
BODY = {
    "required": True,
    "description": "One policy, a list of them, or `{policies: [...]}`: all are applied, or none",
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    POLICY,
                    {"type": "array", "items": POLICY},
                    {
                        "type": "object",
                        "required": ["policies"],
                        "additionalProperties": False,
                        "properties": {"policies": {"type": "array", "items": POLICY}},
                    },
                ]
            }
        }
    },
}


@router.get("/policies", summary="Every policy, newest version", responses=NO_PAGE)
async def list_policies(
    state: State, caller: ReadCaller, limit: Limit = PAGE_MAX, cursor: Cursor = None
) -> PoliciesDocument:
    """Return the policies by name, inactive ones included."""
    after = decode_cursor(cursor, 1)
    found = await read_policies(state.opened.database)
    if after is not None:
        found = [policy for policy in found if policy.name > after[0]]
    more = encode_cursor(found[limit - 1].name) if len(found) > limit else None
    return PoliciesDocument(items=found[:limit], next_cursor=more)


@router.post(
    "/policies",
    summary="Apply policies",
    response_model=PoliciesAppliedDocument,
    openapi_extra={"requestBody": BODY},
)
async def apply(
    request: Request,
    state: State,
    caller: AdminCaller,
    dry_run: DryRun = False,
    canary: CanaryShare = None,
) -> dict[str, Any]:
    """Apply all of them or none; a refusal names every problem at once.

    With `canary` the one policy of the body serves that share of its requests until it is judged.
    """
    if dry_run:
        return await _tried(state, await policies_of(request))
    if canary is not None:
        policy = one_policy(await policies_of(request))
        reason = f"canary by {caller.name} over HTTP"
        started = await start_canary(state.opened.database, policy, canary, reason)
        state.lanes.reads.forget()
        item = {"name": started.name, "version": started.version, "change": "canary"}
        return {"items": [item], "dry_run": False}
    applied = await apply_policies(
        state.opened.database,
        await policies_of(request),
        source="person",
        reason=f"applied by {caller.name} over HTTP",
    )
    state.lanes.reads.forget()
    return {"items": [asdict(one) for one in applied], "dry_run": False}


async def _tried(state: ApiState, policies: tuple[Policy, ...]) -> dict[str, Any]:
    until = datetime.now(UTC)
    tried = await try_policies(state.opened.database, policies, until - SPAN_DEFAULT, until)
    return {
        "items": [asdict(one) for one in tried.applied],
        "dry_run": True,
        "changes": tried.changes,
        "backtest": tried.backtest,
    }


async def policies_of(request: Request) -> tuple[Policy, ...]:
    """Return the policies of a body; raises InvalidPolicy with every problem."""
    try:
        text = (await request.body()).decode("utf-8")
    except UnicodeDecodeError:
        raise ApiProblem(422, "the body is not UTF-8") from None
    return parse_policy_text(text)
