"""The embedded PostgreSQL of a SWITCHYARD_HOME: one server, stopped by its last user."""

from deployments.postgres.binaries import binary, pgbench_path
from deployments.postgres.server import PostgresServer, running_postgres

__all__ = ["PostgresServer", "binary", "pgbench_path", "running_postgres"]
