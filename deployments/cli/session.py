"""Run one command's work against the running system, or one started for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from deployments.cli.output import say

if TYPE_CHECKING:
    from tasks.adapters.runtime import Runtime

T = TypeVar("T")


def in_runtime(work: Callable[[Runtime], Awaitable[T]]) -> T:
    """Return what `work` returns; it gets the open runtime. No Prefect is needed or started."""
    import asyncio

    from deployments.system import running_parts
    from tasks.adapters.settings import Settings, read_settings

    async def run(settings: Settings) -> T:
        from deployments.preparation import prepared_runtime

        async with prepared_runtime(settings) as opened:
            return await work(opened)

    with running_parts(read_settings(), prefect=False, notify=say) as settings:
        return asyncio.run(run(settings))
