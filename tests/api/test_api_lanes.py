"""The lanes of an API process: Prefect may start later than it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from deployments.api import lanes
from deployments.api.options import ServeOptions
from models.errors import PrefectFailed

pytestmark = pytest.mark.anyio


async def test_prefect_that_starts_late_is_used_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[int] = []
    answers = asyncio.Event()

    @asynccontextmanager
    async def clients() -> AsyncIterator[Callable[[], None]]:
        tries.append(1)
        if len(tries) <= 2:
            raise RuntimeError("Failed to reach API")
        answers.set()
        yield lambda: None

    monkeypatch.setattr(lanes, "_import_clients", lambda: clients)
    monkeypatch.setattr(lanes, "PREFECT_AGAIN_S", 0.01)
    opened = lanes.Lanes(ServeOptions(), prefect_known=True)
    async with opened.open():
        with pytest.raises(PrefectFailed, match="Failed to reach"):
            await opened.prefect_ready()
        await answers.wait()
        await opened.prefect_ready()
