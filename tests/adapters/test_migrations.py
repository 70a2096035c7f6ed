from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from deployments.postgres import PostgresServer
from models.errors import DatabaseFailed, InvalidConfiguration
from models.tables import SQLModel
from tasks.adapters.database_url import libpq_url, redacted, sqlalchemy_url
from tasks.adapters.migrations import alembic_config, expected_schema, upgrade_database


def test_rows_agree_with_the_migrations(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True, "compare_type": True}
        )
        assert compare_metadata(context, SQLModel.metadata) == []


def test_newest_revision_is_the_one_the_files_name(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    with engine.connect() as connection:
        script = ScriptDirectory.from_config(alembic_config(connection))
        assert script.get_current_head() == expected_schema().revision


def test_upgrade_runs_once_when_many_race(postgres_server: PostgresServer) -> None:
    postgres_server.ensure_database("raced")
    url = postgres_server.url("raced")
    code = f"from tasks.adapters.migrations import upgrade_database as u; u({url!r})"
    racers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0]
    with psycopg.connect(url) as connection:
        versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        limits = connection.execute("SELECT count(*) FROM budget_definitions").fetchone()
    assert (versions, limits) == ([(expected_schema().revision,)], (1,))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
        ("postgres://me:s3%40cret@host:1/db?x=1", "postgres://me:***@host:1/db?x=1"),
        ("host=h password=s3cret dbname=d", "host=h password=*** dbname=d"),
        ("postgresql:///db?password=s3cret&x=1", "postgresql:///db?password=***&x=1"),
    ],
)
def test_redacted_hides_every_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_url_is_taken_in_every_common_form() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"):
        assert libpq_url(f"{scheme}://u@h/d") == "postgresql://u@h/d"
        assert sqlalchemy_url(f"{scheme}://u@h/d") == "postgresql+psycopg://u@h/d"


def test_url_of_another_database_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        libpq_url("mysql://me:s3cret@host/db")
    assert "s3cret" not in str(refused.value)


def test_upgrade_fails_in_one_line_when_nobody_answers() -> None:
    with pytest.raises(DatabaseFailed) as failed:
        upgrade_database("postgresql://me:s3cret@127.0.0.1:9/db")
    assert "s3cret" not in str(failed.value)
    assert "\n" not in str(failed.value)
