"""The parts that a command needs: those of the running system, else its own for a while."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from pydantic import SecretStr

from deployments.child import log_tail, running_child
from deployments.edge import undisturbed
from deployments.postgres import PostgresServer, running_postgres
from deployments.prefect_server import client_environment, running_prefect_server
from deployments.up_file import read_up_file
from models.errors import DiskFull, InvalidConfiguration, WorldFailed
from tasks.adapters.database_url import libpq_url
from tasks.adapters.openrouter.base_url import checked_base_url, checked_key
from tasks.adapters.settings import Settings, export_settings

SIMULATOR_START_TIMEOUT_S = 30.0
Notify = Callable[[str], None]


@contextlib.contextmanager
def running_parts(settings: Settings, *, prefect: bool, notify: Notify) -> Iterator[Settings]:
    """Yield settings in which every needed part has an address.

    Uses the system of up.json when one runs; else starts what is missing (PostgreSQL, the
    simulator, with `prefect` a Prefect server), says so, and stops it again. The addresses are
    also put into this process's environment, before Prefect is imported.
    """
    check_addresses(settings)
    make_home(settings.home)
    parts = ExitStack()
    try:
        complete = _attach(settings, prefect) or _start(settings, prefect, notify, parts)
        export_settings(complete)
        os.environ.update(client_environment(complete))
        yield complete
    finally:
        with undisturbed():
            parts.close()


def check_addresses(settings: Settings) -> None:
    """Refuse a base URL, key or database URL that cannot be used, before anything is started.

    Raises InvalidConfiguration.
    """
    has_key = checked_key(settings.api_key) is not None
    if settings.openrouter_base_url is not None:
        with _named("OPENROUTER_BASE_URL"):
            checked_base_url(settings.openrouter_base_url, has_key=has_key)
    if settings.prefect_api_url is not None:
        with _named("PREFECT_API_URL"):
            checked_base_url(settings.prefect_api_url, has_key=False)
    if settings.database_url is not None:
        libpq_url(settings.database_dsn)


@contextlib.contextmanager
def _named(variable: str) -> Iterator[None]:
    try:
        yield
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{variable}: {error}") from error


def make_home(home: Path) -> None:
    """Make SWITCHYARD_HOME, private to its owner."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DiskFull(f"SWITCHYARD_HOME {str(home)!r} cannot be made: {error.strerror}") from error


def attached(settings: Settings) -> Settings:
    """Return settings with the addresses of the running system; for what cannot start its own.

    They are also put into this process's environment. Raises InvalidConfiguration naming what is
    neither configured nor running.
    """
    check_addresses(settings)
    found = _attach(settings, prefect=True) or settings
    missing = missing_parts(found, found.prefect_api_url is None)
    if missing:
        raise InvalidConfiguration(
            f"no running system, and no address of {', '.join(missing)}: start `switchyard up`,"
            " or set DATABASE_URL and PREFECT_API_URL"
        )
    export_settings(found)
    os.environ.update(client_environment(found))
    return found


def _attach(settings: Settings, prefect: bool) -> Settings | None:
    up = read_up_file(settings.home)
    if up is None or (up.simulator_url is None) == settings.simulated:
        return None
    found: dict[str, object] = {"switchyard_simulator_url": up.simulator_url}
    if settings.database_url is None:
        found["database_url"] = up.database_url
    if settings.prefect_api_url is None and prefect:
        found["prefect_api_url"] = up.prefect_api_url
    return settings.model_copy(update=found)


def _start(settings: Settings, prefect: bool, notify: Notify, parts: ExitStack) -> Settings:
    own_prefect = prefect and settings.prefect_api_url is None
    missing = missing_parts(settings, own_prefect)
    if not missing:
        return settings
    wait = "15 to 30 s the first time, about 10 s later" if own_prefect else "about 3 s"
    notify(f"no running system: starting {', '.join(missing)} for this command ({wait})")
    found: dict[str, object] = {}
    postgres: PostgresServer | None = None
    if settings.database_url is None or own_prefect:
        postgres = parts.enter_context(running_postgres(settings.home))
    if settings.database_url is None and postgres is not None:
        found["database_url"] = embedded_database(settings, postgres)
    if settings.simulated and settings.switchyard_simulator_url is None:
        found["switchyard_simulator_url"] = parts.enter_context(running_simulator_child(settings))
    if own_prefect and postgres is not None:
        found["prefect_api_url"] = parts.enter_context(running_prefect_server(settings, postgres))
    return settings.model_copy(update=found)


def missing_parts(settings: Settings, own_prefect: bool) -> list[str]:
    """Name the parts that have no address yet."""
    missing = []
    if settings.database_url is None or own_prefect:
        missing.append("PostgreSQL")
    if settings.simulated and settings.switchyard_simulator_url is None:
        missing.append("the OpenRouter simulator")
    if own_prefect:
        missing.append("a Prefect server")
    return missing


def embedded_database(settings: Settings, postgres: PostgresServer) -> SecretStr:
    """Make sure of the ledger's database and return its URL; simulated money has its own."""
    name = "switchyard_simulated" if settings.simulated else "switchyard"
    postgres.ensure_database(name)
    return SecretStr(postgres.url(name))


@contextlib.contextmanager
def running_simulator_child(settings: Settings, *, port: int = 0) -> Iterator[str]:
    """Run the simulator as a child process and yield its base URL."""
    folder = settings.home / "simulator"
    folder.mkdir(mode=0o700, exist_ok=True)
    ready_file = folder / f"ready-{os.getpid()}.json"
    ready_file.unlink(missing_ok=True)
    log_file = folder / f"simulator-{os.getpid()}.log"
    arguments = ["--port", str(port), "--ready-file", str(ready_file)]
    arguments += ["--charge-log", str(folder / "charges.jsonl")]
    with running_child(
        "deployments.simulator", arguments, environment=os.environ, log_file=log_file
    ) as process:
        try:
            yield _wait_for_url(ready_file, log_file, process.poll)
        finally:
            ready_file.unlink(missing_ok=True)
    log_file.unlink(missing_ok=True)


def _wait_for_url(ready_file: Path, log_file: Path, ended: Callable[[], int | None]) -> str:
    deadline = time.monotonic() + SIMULATOR_START_TIMEOUT_S
    while time.monotonic() < deadline and ended() is None:
        with contextlib.suppress(OSError, ValueError):
            url: str = json.loads(ready_file.read_text(encoding="utf-8"))["url"]
            return url
        time.sleep(0.05)
    raise WorldFailed(f"the simulator did not start: {log_tail(log_file)}")
