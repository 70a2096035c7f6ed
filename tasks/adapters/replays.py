"""Stored decisions recomputed from their snapshots."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from models.errors import NotFound
from models.replay import Difference, ReplayReport, replay_difference
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import decisions as store

REPLAY_PAGE = 500


async def replay_decisions(opened: Runtime, decision_id: UUID | None) -> ReplayReport:
    """Recompute one decision's plans, or with None every stored one, in pages."""
    if decision_id is not None:
        row = await store.read_decision(opened.database, decision_id)
        if row is None or row["snapshot"] is None:
            raise NotFound(f"there is no planned decision {decision_id}")
        return _replayed([row])
    return await _replay_every(opened)


async def _replay_every(opened: Runtime) -> ReplayReport:
    replayed, identical, differences = 0, 0, list[Difference]()
    reading = asyncio.create_task(_page(opened, UUID(int=0)))
    try:
        while rows := await reading:
            reading = asyncio.create_task(_page(opened, rows[-1]["id"]))
            await asyncio.sleep(0.001)  # the next page is asked for before this one is recomputed
            report = _replayed(rows)
            replayed, identical = replayed + report.replayed, identical + report.identical
            differences += report.differences
    finally:
        reading.cancel()
    return ReplayReport(replayed, identical, tuple(differences))


async def _page(opened: Runtime, after: UUID) -> list[dict[str, Any]]:
    return await store.planned_decisions(opened.database, after=after, limit=REPLAY_PAGE)


def _replayed(rows: list[dict[str, Any]]) -> ReplayReport:
    stored = [
        (row["id"], part["snapshot"], part["plan"])
        for row in rows
        for part in (*row["earlier_plans"], row)
    ]
    differences = [
        Difference(decision_id, text)
        for decision_id, snapshot, plan in stored
        if (text := replay_difference(snapshot, plan)) is not None
    ]
    return ReplayReport(len(stored), len(stored) - len(differences), tuple(differences))
