"""A real Prefect server for tests of whole flow runs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from deployments.postgres import PostgresServer
from deployments.prefect_server import client_environment, running_prefect_server
from tasks.adapters.settings import Settings


@pytest.fixture(scope="session")
def prefect_api_url(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """One Prefect server for the session, on the session's PostgreSQL."""
    home = tmp_path_factory.mktemp("prefect home")
    settings = Settings(switchyard_home=home, openrouter_api_key=None, prefect_api_url=None)
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
