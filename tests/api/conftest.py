"""A running API over a database and a simulator of the test's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from deployments.api.options import ServeOptions
from deployments.api.service import ApiService
from deployments.postgres import PostgresServer
from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.settings import Settings


@dataclass(frozen=True, slots=True)
class RunningApi:
    """An API that answers at `url`, over this simulator."""

    url: str
    simulator: RunningSimulator
    settings: Settings

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@contextmanager
def running_api(
    settings: Settings, simulator: RunningSimulator, options: ServeOptions
) -> Iterator[RunningApi]:
    service = ApiService(settings, options)
    service.start()
    try:
        yield RunningApi(service.url, simulator, settings)
    finally:
        service.stop()
    service.raise_failure()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    config = SimulatorConfig(latency_scale=0, charge_log=tmp_path / "charges.jsonl")
    with running_simulator(config) as running:
        yield running


@pytest.fixture
def settings(database_url: str, simulator: RunningSimulator, tmp_path: Path) -> Settings:
    return Settings(
        openrouter_api_key=None,
        openrouter_base_url=None,
        prefect_api_url=None,
        switchyard_api_key=None,
        database_url=SecretStr(database_url),
        switchyard_simulator_url=simulator.url,
        switchyard_home=tmp_path,
        switchyard_request_timeout_s=10,
    )


@pytest.fixture(scope="module")
def shared_api(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApi]:
    """One API for a module whose tests do not disturb each other."""
    name, home = f"shared_{uuid.uuid4().hex}", tmp_path_factory.mktemp("shared api")
    postgres_server.ensure_database(name)
    upgrade_database(postgres_server.url(name))
    config = SimulatorConfig(latency_scale=0, charge_log=home / "charges.jsonl")
    with running_simulator(config) as simulator:
        settings = Settings(
            openrouter_api_key=None,
            openrouter_base_url=None,
            prefect_api_url=None,
            switchyard_api_key=None,
            database_url=SecretStr(postgres_server.url(name)),
            switchyard_simulator_url=simulator.url,
            switchyard_home=home,
            switchyard_request_timeout_s=10,
        )
        options = ServeOptions(port=0, lane="ledger", drain_s=2)
        with running_api(settings, simulator, options) as running:
            yield running


StartApi = Callable[..., RunningApi]


@pytest.fixture
def start_api(settings: Settings, simulator: RunningSimulator) -> Iterator[StartApi]:
    """Start an API with these options; it ends with the test."""
    with ExitStack() as stack:

        def start(*, key: str | None = None, **options: object) -> RunningApi:
            chosen = ServeOptions(port=0, lane="ledger", drain_s=2, **options)  # type: ignore[arg-type]
            secret = None if key is None else SecretStr(key)
            mine = settings.model_copy(update={"switchyard_api_key": secret})
            return stack.enter_context(running_api(mine, simulator, chosen))

        yield start


@pytest.fixture
def api(start_api: StartApi) -> RunningApi:
    """An API on loopback that asks for no key, in lane ledger."""
    return start_api()


@pytest.fixture
def client(api: RunningApi) -> Iterator[httpx.Client]:
    with api.client() as opened:
        yield opened
