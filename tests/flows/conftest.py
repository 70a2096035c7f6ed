"""A real Prefect server, a simulator and an open runtime for tests of whole decisions."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.postgres import PostgresServer
from deployments.prefect_server import client_environment, running_prefect_server
from deployments.preparation import prepared_runtime
from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator
from tasks.adapters.runtime import Runtime
from tasks.adapters.settings import Settings


@pytest.fixture(scope="session")
def prefect_api_url(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """One Prefect server for the session, on the session's PostgreSQL."""
    home = tmp_path_factory.mktemp("prefect home")
    settings = Settings(switchyard_home=home)
    with running_prefect_server(settings, postgres_server) as api_url:
        environment = client_environment(settings.model_copy(update={"prefect_api_url": api_url}))
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        from prefect.context import refresh_global_settings_context  # reads the environment

        refresh_global_settings_context()
        yield api_url
        _restore(before)
        refresh_global_settings_context()


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    """A simulator without latency, with a charge log of its own."""
    config = SimulatorConfig(latency_scale=0, charge_log=tmp_path / "charges.jsonl")
    with running_simulator(config) as running:
        yield running


@pytest.fixture
def settings(database_url: str, simulator: RunningSimulator, tmp_path: Path) -> Settings:
    """Settings that point at the test's own database and simulator."""
    return Settings(
        openrouter_api_key=None,
        openrouter_base_url=None,
        database_url=SecretStr(database_url),
        switchyard_simulator_url=simulator.url,
        switchyard_home=tmp_path,
        switchyard_request_timeout_s=10,
    )


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """The runtime that the steps use, over a prepared database."""
    async with prepared_runtime(settings) as opened:
        yield opened
