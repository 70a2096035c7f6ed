"""The answers that policies keep for equal requests: counted and dropped."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from deployments.api.documents import CacheDocument, PurgedDocument
from deployments.api.queries import Name
from deployments.api.state import AdminCaller, ReadCaller, State
from tasks.adapters.store.answers import answer_statistics, purge_answers
from tasks.adapters.store.policies import read_policy

router = APIRouter(prefix="/api/routing", tags=["cache"])


@router.get("/cache", summary="What is kept", response_model=CacheDocument)
async def read_cache(state: State, caller: ReadCaller) -> dict[str, Any]:
    """Return how many answers are kept, how large they are and how often they served."""
    found = await answer_statistics(state.opened.database)
    return found | {"bytes_max": state.opened.settings.cache_bytes_max}


@router.delete(
    "/cache",
    summary="Drop kept answers",
    responses={404: {"description": "There is no such policy"}},
)
async def purge_cache(state: State, caller: AdminCaller, policy: Name = None) -> PurgedDocument:
    """Drop every kept answer, or those of one policy; equal requests are asked again."""
    if policy is not None:
        await read_policy(state.opened.database, policy)
    return PurgedDocument(purged=await purge_answers(state.opened.database, policy))
