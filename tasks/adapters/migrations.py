"""Brings a database to the schema of this checkout, from any folder and by any number at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import DatabaseFailed
from tasks.adapters.database_url import redacted, sqlalchemy_url

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
UPGRADE_LOCK = 7_355_608_241  # any number nobody else uses for pg_advisory_xact_lock


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Which tables (Alembic revision) and which functions (digest) a database has."""

    revision: str | None
    functions: str | None


@cache
def expected_schema() -> SchemaState:
    """Return the schema that this checkout needs, read from its files (no Alembic import)."""
    revision = max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))
    digest = hashlib.sha256("\0".join(_function_sources()).encode()).hexdigest()
    return SchemaState(revision=revision, functions=digest)


def upgrade_database(url: str) -> None:
    """Bring the database to the newest schema: tables by Alembic, then the ledger's functions.

    One transaction under an advisory lock: racing callers wait, a failure leaves nothing behind,
    and where all is current already nothing is written. Raises DatabaseFailed.
    """
    # Alembic takes half a second to import: only who upgrades pays for it.
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
            _upgrade_tables(connection)
            _replace_functions(connection)
    except SQLAlchemyError as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise DatabaseFailed(f"cannot upgrade the database {redacted(url)}: {cause}") from error


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for this connection; there is no alembic.ini."""
    from alembic.config import Config  # as in upgrade_database

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def _upgrade_tables(connection: Connection) -> None:
    from alembic import command  # as in upgrade_database

    command.upgrade(alembic_config(connection), "head")


def _replace_functions(connection: Connection) -> None:
    wanted = expected_schema().functions
    if _installed_functions(connection) == wanted:
        return
    connection.exec_driver_sql("DROP SCHEMA IF EXISTS ledger CASCADE")
    connection.exec_driver_sql("CREATE SCHEMA ledger")
    for source in _function_sources():
        connection.exec_driver_sql(source.replace("%", "%%"))
    connection.exec_driver_sql(f"COMMENT ON SCHEMA ledger IS '{wanted}'")


def _installed_functions(connection: Connection) -> str | None:
    row = connection.exec_driver_sql(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'ledger'"
    ).one_or_none()
    return None if row is None else row[0]


def _function_sources() -> list[str]:
    files = sorted((MIGRATIONS / "sql").glob("*.sql"))
    return [path.read_text(encoding="utf-8") for path in files]
