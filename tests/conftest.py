"""What every test may ask for: the event loop, a real PostgreSQL, a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg import sql

from deployments.postgres import PostgresServer, running_postgres
from tasks.adapters.database import Database, open_database
from tasks.adapters.migrations import upgrade_database

TEMPLATE = "switchyard_template"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for the whole session, below a path with a space."""
    with running_postgres(tmp_path_factory.mktemp("switchyard home")) as server:
        server.ensure_database(TEMPLATE)
        upgrade_database(server.url(TEMPLATE))
        yield server


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A migrated database of the test's own, cloned from the template."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
        yield postgres_server.url(name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, opened."""
    async with open_database(database_url) as opened:
        yield opened
