"""Take part in the one embedded server of a home: the first user starts it, the last stops it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from deployments.postgres.cluster import SUPERUSER
from deployments.postgres.layout import Layout, explained, prepare_layout
from deployments.postgres.lifecycle import ensure_running, stop
from deployments.postgres.locks import exclusive, opened, release, share, taken_alone
from models.errors import PostgresFailed

CREATE_LOCK = 0x5377_6974  # any number that only ensure_database uses as an advisory lock


@dataclass(frozen=True)
class PostgresServer:
    """How to reach a running server."""

    socket_dir: Path
    port: int
    user: str
    password: str = field(repr=False)
    data_dir: Path
    log_file: Path

    def url(self, database: str, driver: str = "") -> str:
        """Return the address of one database, for libpq or for a driver of SQLAlchemy."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        host = quote(str(self.socket_dir))
        return f"{scheme}://{login}@/{quote(database, safe='')}?host={host}&port={self.port}"

    def ensure_database(self, name: str) -> None:
        """Create the database `name` unless it exists, whoever else does so just now.

        Raises:
            PostgresFailed: the server refused.
        """
        try:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute("SELECT pg_advisory_lock(%s)", (CREATE_LOCK,))
                known = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
                if known.rowcount == 0:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.Error as error:
            raise PostgresFailed(f"database {name!r} could not be created: {error}") from error


@contextmanager
def running_postgres(home: Path) -> Iterator[PostgresServer]:
    """Run, or join, the server of `home` for as long as the block lasts.

    A user that is killed leaves the server running; the next one finds it, and stops it if it
    leaves as the last.

    Raises:
        PostgresFailed: the server could not be started, found or stopped.
        DiskFull: there is no room for it.
    """
    with ExitStack() as membership:
        with explained(home):
            layout = prepare_layout(home)
            users_fd = membership.enter_context(opened(layout.users_lock))
            membership.callback(_leave, layout, users_fd)
            with exclusive(layout.start_lock):
                share(users_fd)
                server = _server(layout)
        yield server


def _leave(layout: Layout, users_fd: int) -> None:
    with explained(layout.home), exclusive(layout.start_lock):
        release(users_fd)
        if taken_alone(users_fd):  # nobody else is left
            stop(layout)


def _server(layout: Layout) -> PostgresServer:
    found = ensure_running(layout)
    return PostgresServer(
        socket_dir=found.socket_dir,
        port=found.port,
        user=SUPERUSER,
        password=layout.password.read_text(encoding="ascii").strip(),
        data_dir=layout.data,
        log_file=layout.log,
    )
