"""What every example stands on: the running system, or one of its own for as long as it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from deployments.cli.output import cell_text, say
from deployments.edge import run_to_exit
from deployments.lanes import flow_lane
from deployments.preparation import prepared_runtime
from deployments.system import running_parts
from models.result import RoutingResult
from tasks.adapters.settings import Settings, read_settings

T = TypeVar("T")


def perform(play: Callable[[], Awaitable[object]]) -> None:
    """Run an example to its end with an open runtime; errors become exit codes, as in the CLI."""
    run_to_exit(lambda: _perform(play))


def _perform(play: Callable[[], Awaitable[object]]) -> int:
    with running_parts(read_settings(), prefect=True, notify=say) as settings:
        # Flows are defined at import, before the server's address was known.
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
        asyncio.run(_played(settings, play))
    return 0


async def _played(settings: Settings, play: Callable[[], Awaitable[Any]]) -> None:
    async with prepared_runtime(settings), flow_lane():
        await play()


def told(result: RoutingResult) -> str:
    """Return a result in one line: status, model, cost."""
    price = cell_text(result.cost_usd)
    return f"[{result.status}: {result.policy} -> {result.model or 'no model'}, {price}]"
