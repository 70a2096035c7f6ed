"""Flows, imported once and kept: the warmth of the warm worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.filesystems import LocalFileSystem
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.results import aget_default_result_storage

from deployments.worker.station import Station
from models.errors import InvalidConfiguration

AnyFlow = Flow[..., Coroutine[Any, Any, Any]]  # a flow's parameters and result are its own
DEPLOYMENT_TTL_S = 30.0


@dataclass(frozen=True, slots=True)
class Known:
    """A deployment's entrypoint, and until when it is believed."""

    entrypoint: str
    until: float


class FlowCache:
    """Flows by entrypoint and entrypoints by deployment; imports run in a thread."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._deployments: dict[UUID, Known] = {}
        self._flows: dict[str, asyncio.Task[AnyFlow]] = {}

    async def load(self, deployment_id: UUID | None) -> AnyFlow:
        """Return the deployment's flow.

        Raises InvalidConfiguration when this worker cannot run it, and what its import raises.
        """
        entrypoint = await self.entrypoint(deployment_id)
        if ":" in entrypoint:
            raise InvalidConfiguration(
                f"entrypoint {entrypoint!r}: the warm worker runs module paths (package.flow) only"
            )
        flow = await self._imported(entrypoint)
        if not flow.isasync or flow.isgenerator:
            raise InvalidConfiguration(
                f"flow {flow.name!r} is not `async def`: it would block every other run"
            )
        return flow

    async def entrypoint(self, deployment_id: UUID | None) -> str:
        """Return the deployment's entrypoint, read from the server at most every 30 s."""
        if deployment_id is None:
            raise InvalidConfiguration("the run has no deployment, so its flow is not known")
        known = self._deployments.get(deployment_id)
        if known is None or known.until < time.monotonic():
            deployment = await self._station.client.read_deployment(deployment_id)
            known = self._remember(deployment_id, deployment.entrypoint)
        return known.entrypoint

    async def preload(self) -> None:
        """Import what the pool's deployments point at, so that the first run is as fast as any."""
        deployments = await self._station.client.read_deployments(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._station.pool]))
        )
        for deployment in deployments:
            known = self._remember(deployment.id, deployment.entrypoint)
            if _package(known.entrypoint) not in self._station.resumable_packages:
                continue
            try:
                await self._imported(known.entrypoint)
            # A flow file may raise anything; its own runs will fail and say so.
            except Exception as broken:
                self._station.logger.warning("cannot import %s: %r", known.entrypoint, broken)

    async def is_resumable(self, deployment_id: UUID | None) -> bool:
        """Return whether a run of it may be run again: only flows that the ledger makes safe."""
        return _package(await self.entrypoint(deployment_id)) in self._station.resumable_packages

    def _remember(self, deployment_id: UUID, entrypoint: str | None) -> Known:
        if not entrypoint:
            raise InvalidConfiguration(f"deployment {deployment_id} has no entrypoint")
        known = Known(entrypoint, time.monotonic() + DEPLOYMENT_TTL_S)
        self._deployments[deployment_id] = known
        return known

    async def _imported(self, entrypoint: str) -> AnyFlow:
        """Return the flow; runs that ask at the same time share one import."""
        task = self._flows.get(entrypoint)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(_import(entrypoint))
            self._flows[entrypoint] = task
        return await asyncio.shield(task)


async def _import(entrypoint: str) -> AnyFlow:
    flow: AnyFlow = await asyncio.to_thread(
        load_flow_from_entrypoint, entrypoint, use_placeholder_flow=False
    )
    return await _with_storage(flow)


async def _with_storage(flow: AnyFlow) -> AnyFlow:
    """Return the flow with the result storage that it would get by default, now looked up.

    Else Prefect asks the server for the default in every run, by a blocking call on the event
    loop (30-80 ms).
    """
    if flow.result_storage is not None or flow.persist_result is None:
        return flow
    default = await aget_default_result_storage()
    if isinstance(default, LocalFileSystem) and default.basepath is not None:
        return flow.with_options(result_storage=Path(default.basepath))
    return flow.with_options(result_storage=default)


def _package(entrypoint: str) -> str:
    return entrypoint.partition(".")[0]
