"""The local Prefect server: its environment, its database, its start and its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import httpx

from deployments.child import log_tail, running_child
from deployments.ports import LOOPBACK, demand_free
from deployments.postgres import PostgresServer
from models.errors import PrefectFailed
from tasks.adapters.settings import Settings

DATABASE = "prefect"
START_TIMEOUT_S = 120.0

# Measured reasons in docs/decisions: async engines need no 1-second heartbeat thread, and nobody
# asked for telemetry or promotions.
CLIENT_ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SILENCE_API_URL_MISCONFIGURATION": "true",
    # runs log to Prefect's API; a command's own stderr is for the person who called it
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}

SERVER_ENVIRONMENT = {
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",  # its log says why it could not start
}


def client_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that keep Prefect's files in SWITCHYARD_HOME, for every process."""
    environment = CLIENT_ENVIRONMENT | {"PREFECT_HOME": str(settings.prefect_home)}
    environment["PREFECT_PROFILES_PATH"] = str(settings.prefect_home / "profiles.toml")
    if settings.prefect_api_url is not None:
        environment["PREFECT_API_URL"] = settings.prefect_api_url
    return environment


def server_environment(settings: Settings, postgres: PostgresServer, port: int) -> dict[str, str]:
    """Return a server's whole environment; makes sure of its database."""
    postgres.ensure_database(DATABASE)
    own = {
        "PREFECT_API_DATABASE_CONNECTION_URL": postgres.url(DATABASE, driver="asyncpg"),
        # else the pages in the browser ask port 4200, whatever `--port` says
        "PREFECT_SERVER_UI_API_URL": f"http://{LOOPBACK}:{port}/api",
    }
    environment = dict(os.environ) | client_environment(settings) | SERVER_ENVIRONMENT | own
    environment.pop("PREFECT_API_URL", None)
    return environment


def server_arguments(port: int) -> tuple[str, ...]:
    """Return the arguments of the module `prefect` that start a server."""
    return ("server", "start", "--host", LOOPBACK, "--port", str(port))


@contextlib.contextmanager
def running_prefect_server(
    settings: Settings, postgres: PostgresServer, *, port: int = 0
) -> Iterator[str]:
    """Run a Prefect server on loopback over the embedded PostgreSQL; yield its API URL."""
    _migrate_once(settings.prefect_home, server_environment(settings, postgres, port))
    port = demand_free(port)
    environment = server_environment(settings, postgres, port)
    log_file = settings.prefect_home / f"server-{port}.log"
    api_url = f"http://{LOOPBACK}:{port}/api"
    with contextlib.ExitStack() as stack:
        with _first_start_alone(settings.prefect_home):
            child = running_child(
                "prefect", server_arguments(port), environment=environment, log_file=log_file
            )
            _wait_until_healthy(api_url, stack.enter_context(child), log_file)
        yield api_url
    log_file.unlink(missing_ok=True)


@contextlib.contextmanager
def _first_start_alone(prefect_home: Path) -> Iterator[None]:
    """Let one process at a time start a first server.

    Prefect 3.8 registers its block types then, and a server that loses the race for that ends.
    """
    with (prefect_home / "first-start.lock").open("w") as lock:
        if not (prefect_home / "memo_store.toml").exists():  # Prefect's note that it is done
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _migrate_once(prefect_home: Path, environment: dict[str, str]) -> None:
    with migration(prefect_home):
        if is_migrated(prefect_home):
            return
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            lines = (done.stdout + done.stderr).strip().splitlines()[-3:]
            raise PrefectFailed("Prefect's database could not be set up: " + " | ".join(lines))
        stamp_migrated(prefect_home)


def migration(prefect_home: Path) -> contextlib.ExitStack:
    """Return the right to migrate Prefect's database, which one process has at a time.

    A stamp file names the version that did it last, so that a warm start skips 5 s of imports.
    """
    prefect_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context((prefect_home / "migrate.lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        return stack.pop_all()


def is_migrated(prefect_home: Path) -> bool:
    """Return whether the database was brought to this Prefect's version before."""
    stamp = prefect_home / "database-version"
    return stamp.exists() and stamp.read_text() == _wanted(prefect_home)


def stamp_migrated(prefect_home: Path) -> None:
    """Note down that the database is at this Prefect's version."""
    (prefect_home / "database-version").write_text(_wanted(prefect_home))


def _wanted(prefect_home: Path) -> str:
    return f"{version('prefect')} {_cluster_id(prefect_home)}"


def _cluster_id(prefect_home: Path) -> str:
    """Return what changes when the PostgreSQL cluster beside this folder is made anew."""
    try:
        return str((prefect_home.parent / "postgres" / "data" / "PG_VERSION").stat().st_mtime_ns)
    except OSError:
        return "external"


def _wait_until_healthy(api_url: str, process: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PrefectFailed(f"the Prefect server ended at its start: {log_tail(log_file)}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{api_url}/health", timeout=2, trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise PrefectFailed(
        f"the Prefect server did not answer within {START_TIMEOUT_S:.0f} s: {log_tail(log_file)}"
    )
