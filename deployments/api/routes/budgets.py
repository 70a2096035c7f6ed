"""Budgets: what the limits are, and what is spent, held and left."""

from __future__ import annotations

from fastapi import APIRouter

from deployments.api.cursors import decode_cursor, encode_cursor
from deployments.api.documents import BudgetsDocument
from deployments.api.queries import NO_PAGE, PAGE_MAX, Cursor, Limit
from deployments.api.state import AdminCaller, ReadCaller, State
from models.budget import BudgetDefinition, BudgetState

router = APIRouter(prefix="/api/routing", tags=["budgets"])


@router.get("/budgets", summary="Every limit with its open balance", responses=NO_PAGE)
async def read_budgets(
    state: State, caller: ReadCaller, limit: Limit = PAGE_MAX, cursor: Cursor = None
) -> BudgetsDocument:
    """Return what each budget allows in its open period, and what is spent, held and left."""
    after = decode_cursor(cursor, 3)
    rows = await state.opened.ledger.budgets()
    if after is not None:
        rows = [row for row in rows if _place(row) > after]
    rows.sort(key=_place)
    more = encode_cursor(*_place(rows[limit - 1])) if len(rows) > limit else None
    return BudgetsDocument(items=rows[:limit], next_cursor=more)


def _place(state: BudgetState) -> list[str]:
    return [state.budget_type.value, state.scope_key, state.budget_period.value]


@router.put("/budgets", summary="State a limit")
async def set_budget(
    definition: BudgetDefinition, state: State, caller: AdminCaller
) -> BudgetState:
    """Make or change the limit of this type, scope and period; it holds at once."""
    return await state.opened.ledger.set_budget(definition)
