from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from alembic import command
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


OLD_ROWS = """
INSERT INTO routing_policies (name, policy_config) VALUES ('old', '{}');
INSERT INTO routing_policy_versions (name, version, policy_config, source)
    VALUES ('old', 1, '{}', 'seed');
INSERT INTO routing_decisions (id, request_hash, status, plan) VALUES
    ('00000000-0000-0000-0000-000000000001', 'h', 'completed', '{"propensity": 1.0}'),
    ('00000000-0000-0000-0000-000000000002', 'h', 'completed', '{}'),
    ('00000000-0000-0000-0000-000000000003', 'h', 'running', NULL);
INSERT INTO model_selections (selected_model, estimated_cost, actual_cost, decision_id, attempt_no,
    idempotency_key, request_hash, state, owner, token, lease_expires_at, budget_ids, hold_amounts,
    outcome, settled_at)
    VALUES ('a/b', 2, 1, '00000000-0000-0000-0000-000000000001', 1, 'k', 'h', 'SETTLED', 'o',
            gen_random_uuid(), now(), '{}', '{}', 'ok', now());
INSERT INTO model_performance (window_start, window_end, model_name, provider, policy_name)
    VALUES (now() - interval '1 hour', now(), 'a/b', 'a', 'old');
"""
SCHEMA = """
SELECT 'column', c.table_name, c.column_name, c.data_type || ' ' || c.is_nullable || ' '
       || coalesce(c.column_default, '') || coalesce(c.generation_expression, '')
  FROM information_schema.columns c WHERE c.table_schema IN ('public', 'ledger')
 UNION ALL
SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
 UNION ALL
SELECT 'constraint', k.conrelid::regclass::text, k.conname, pg_get_constraintdef(k.oid)
  FROM pg_constraint k WHERE k.connamespace = 'public'::regnamespace
 UNION ALL SELECT 'function', p.proname, pg_get_function_identity_arguments(p.oid), p.prosrc
  FROM pg_proc p WHERE p.pronamespace = 'ledger'::regnamespace
 ORDER BY 1, 2, 3, 4
"""


def test_older_database_with_rows_gets_the_schema_of_a_new_one(
    postgres_server: PostgresServer, database_url: str
) -> None:
    postgres_server.ensure_database("older")
    url = postgres_server.url("older")
    with create_engine(sqlalchemy_url(url), poolclass=NullPool).begin() as connection:
        command.upgrade(alembic_config(connection), "0004")
        connection.exec_driver_sql(OLD_ROWS)
    upgrade_database(url)
    with psycopg.connect(url) as older, psycopg.connect(database_url) as new:
        assert older.execute(SCHEMA).fetchall() == new.execute(SCHEMA).fetchall()
        known = older.execute("SELECT propensity FROM routing_decisions ORDER BY id").fetchall()
        held = older.execute("SELECT actual_cost, state FROM model_selections").fetchall()
    assert known == [(1.0,), (None,), (None,)]
    assert held == [(1, "SETTLED")]
