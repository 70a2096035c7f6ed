"""Rate limits of the upstream: what is set and learned, and who waits."""

from __future__ import annotations

from fastapi import APIRouter

from deployments.api.documents import PageInfo
from deployments.api.state import AdminCaller, ApiState, ReadCaller, State
from models.rate_limit import LimitOrder, RateLimit
from tasks.adapters.store import limits as store

router = APIRouter(prefix="/api/routing", tags=["limits"])


class LimitsDocument(PageInfo):
    """Every rate limit that holds now."""

    items: list[RateLimit]


@router.get("/limits", summary="Every rate limit of the upstream key")
async def read_limits(state: State, caller: ReadCaller) -> LimitsDocument:
    """Return what is set and what a 429 taught, with what each did; they are few: one page."""
    return await _document(state)


@router.put("/limits", summary="Set a rate limit")
async def set_limit(order: LimitOrder, state: State, caller: AdminCaller) -> LimitsDocument:
    """Set the limit of a model or of the key; without numbers it is removed and forgotten.

    It holds for every process within a quarter of a second. Answers all limits.
    """
    await store.set_limit(state.opened.database, state.opened.limits.account, order)
    state.opened.limits.forget()
    return await _document(state)


async def _document(state: ApiState) -> LimitsDocument:
    found = await store.read_limits(state.opened.database, state.opened.limits.account)
    return LimitsDocument(items=found, next_cursor=None)
