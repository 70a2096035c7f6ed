"""A Prefect server that tests may restart, a pool with deployments, and worker processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State

from deployments.ports import free_port
from deployments.postgres import PostgresServer
from deployments.prefect_server import client_environment, running_prefect_server
from deployments.worker.worker import SwitchyardWorker
from tasks.adapters.settings import Settings

HERE = Path(__file__).parent
PATIENCE_S = 60.0


@dataclass
class RestartableServer:
    """A Prefect server on one port for the whole session."""

    settings: Settings
    postgres: PostgresServer
    port: int
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        self._running.enter_context(
            running_prefect_server(self.settings, self.postgres, port=self.port)
        )

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="session")
def server(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RestartableServer]:
    settings = Settings(switchyard_home=tmp_path_factory.mktemp("worker home"))
    server = RestartableServer(settings, postgres_server, free_port())
    server.start()
    yield server
    server.stop()


@dataclass
class Pool:
    """A work pool of the test's own, its deployments and its workers."""

    name: str
    server: RestartableServer
    client: SyncPrefectClient
    deployments: dict[str, UUID] = field(default_factory=dict)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(
        self, *, limit: int = 20, drain_s: float = 20, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a worker; without an environment of its own it has no database."""
        settings = self.server.settings.model_copy(update={"prefect_api_url": self.server.api_url})
        inherited = {name: os.environ[name] for name in os.environ if name != "DATABASE_URL"}
        worker = subprocess.Popen(
            [sys.executable, str(HERE / "run_worker.py"), self.name, str(limit), str(drain_s)],
            env=inherited | client_environment(settings) | dict(environment or {}),
        )
        self.workers.append(worker)
        return worker

    def deploy(self, flow: str) -> UUID:
        if flow not in self.deployments:
            flow_id = self.client.create_flow_from_name(flow.rpartition(".")[2].replace("_", "-"))
            self.deployments[flow] = self.client.create_deployment(
                flow_id, f"of {self.name}", entrypoint=flow, work_pool_name=self.name, pull_steps=[]
            )
        return self.deployments[flow]

    def trigger(self, flow: str, **parameters: Any) -> UUID:
        """Trigger a run of a flow of warm_flows, or of another module given with its name."""
        entrypoint = flow if "." in flow else f"warm_flows.{flow}"
        deployment_id = self.deploy(entrypoint)
        return self.client.create_flow_run_from_deployment(deployment_id, parameters=parameters).id

    def wait(
        self,
        flow_run_id: UUID,
        wanted: Callable[[State], bool] = lambda state: state.is_final(),
        within_s: float = PATIENCE_S,
    ) -> FlowRun:
        """Return the run once its state is as wanted."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            run = self.client.read_flow_run(flow_run_id)
            if run.state is not None and wanted(run.state):
                return run
            time.sleep(0.1)
        raise AssertionError(f"after {within_s} s: {self.history(flow_run_id)}")

    def history(self, flow_run_id: UUID) -> list[str]:
        states = self.client.read_flow_run_states(flow_run_id)
        return [str(state.name) for state in sorted(states, key=lambda state: state.timestamp)]

    def logged(self, flow_run_id: UUID, text: str) -> bool:
        """Whether the API has, within a few seconds, a line of the run with this text."""
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id]))
        for _ in range(60):
            if any(text in log.message for log in self.client.read_logs(wanted)):
                return True
            time.sleep(0.1)
        return False


@contextlib.contextmanager
def a_pool(server: RestartableServer) -> Iterator[Pool]:
    name = f"pool-{uuid4().hex[:8]}"
    with SyncPrefectClient(server.api_url) as client:
        template = SwitchyardWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=name, type="switchyard", base_job_template=template)
        )
        pool = Pool(name, server, client)
        try:
            yield pool
        finally:
            for worker in pool.workers:
                worker.send_signal(signal.SIGTERM)
            for worker in pool.workers:
                try:
                    worker.wait(30)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()


@pytest.fixture
def pool(server: RestartableServer) -> Iterator[Pool]:
    """A pool without a worker."""
    with a_pool(server) as pool:
        yield pool


@pytest.fixture(scope="module")
def served(server: RestartableServer) -> Iterator[Pool]:
    """A pool with one worker, shared by the tests of a file."""
    with a_pool(server) as pool:
        pool.start_worker()
        yield pool
