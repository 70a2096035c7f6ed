"""What every route of the API may use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from deployments.api.access import KeyRing, Principal
from deployments.api.gate import Gate
from deployments.api.lanes import Lanes
from deployments.api.metrics import Metrics
from deployments.api.options import ServeOptions
from deployments.api.problems import ApiProblem
from models.api_key import Scope
from models.errors import SwitchyardError
from tasks.adapters.runtime import Runtime

BACKGROUND_MAX = 1000
logger = logging.getLogger("switchyard.api")


@dataclass(slots=True)
class ApiState:
    """The open parts of this process, and the work that goes on without a caller."""

    opened: Runtime
    options: ServeOptions
    keys: KeyRing
    gate: Gate
    lanes: Lanes
    metrics: Metrics
    background: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Do work that no caller waits for; raises 429 when too much of it is under way."""
        if len(self.background) >= BACKGROUND_MAX:
            work.close()
            raise ApiProblem(429, "too many requests wait here", headers={"Retry-After": "5"})
        task = asyncio.create_task(_logged(work))
        self.background.add(task)
        task.add_done_callback(self.background.discard)


async def _logged(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except SwitchyardError as error:
        logger.warning("a request in the background failed: %s", error)


# async, though nothing is awaited: FastAPI runs a plain dependency in a thread, for 0.3 ms each.
async def _state(request: Request) -> ApiState:
    state: ApiState = request.app.state.api
    return state


def _caller(scope: Scope) -> Any:  # a dependency of FastAPI
    async def demanded(request: Request) -> Principal:
        caller: Principal = request.state.principal
        caller.demand(scope)
        return caller

    return demanded


State = Annotated[ApiState, Depends(_state)]
RouteCaller = Annotated[Principal, Depends(_caller(Scope.ROUTE))]
ReadCaller = Annotated[Principal, Depends(_caller(Scope.READ))]
AdminCaller = Annotated[Principal, Depends(_caller(Scope.ADMIN))]
