"""`switchyard up`, `worker`, `simulator` and `db`: the long-running processes, and the schema."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import click

from deployments.cli.output import json_option, print_json, say
from deployments.cli.serve import PROCESSES_MAX

if TYPE_CHECKING:
    from deployments.up_file import UpFile


PORT = click.IntRange(0, 65535)
PROCESSES = click.IntRange(1, PROCESSES_MAX)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8700, show_default=True)
@click.option("--prefect-port", type=PORT, default=0, help="Prefect's port; else a free one.")
@click.option("--no-worker", is_flag=True, help="Leave running flows to other workers.")
@click.option("--no-api", is_flag=True, help="Leave out the HTTP API.")
@click.option("--api-processes", type=PROCESSES, default=1, help="As `serve --processes`.")
@json_option
def up(
    port: int,
    prefect_port: int,
    no_worker: bool,
    no_api: bool,
    api_processes: int,
    as_json: bool,
) -> int:
    """Run the whole system in the foreground; Ctrl-C stops all of it.

    PostgreSQL (unless DATABASE_URL is set), a Prefect server (unless PREFECT_API_URL is set), the
    OpenRouter simulator (without key and base URL), the deployments, a warm worker, the HTTP API.
    """
    from deployments.up.parts import Choice
    from deployments.up.run import run_up
    from tasks.adapters.settings import read_settings

    def announce(running: UpFile) -> None:
        if as_json:
            print_json(running.model_dump(mode="json", exclude={"database_url"}))

    choice = Choice(
        port=port,
        prefect_port=prefect_port,
        worker=not no_worker,
        api=not no_api,
        api_processes=api_processes,
    )
    return run_up(read_settings(), choice, announce)


@click.command()
@json_option
def deploy(as_json: bool) -> None:
    """Bring the database and the Prefect server up to date, as `up` does: for several hosts.

    Schema, prices and default policies; the work pool, the deployments of prefect.yaml, the
    automations. Needs DATABASE_URL and PREFECT_API_URL, or `up`.
    """
    from deployments.system import attached
    from tasks.adapters.settings import read_settings

    attached(read_settings())
    from deployments.up import deploy as deployment
    from deployments.up import prepare

    prepare.main()
    deployment.main()
    if as_json:
        from deployments.up.deployed import POOL
        from tasks.adapters.migrations import expected_schema

        print_json({"revision": expected_schema().revision, "pool": POOL})


@click.command()
@click.option("--pool", default="switchyard", show_default=True, help="Work pool to serve.")
@click.option(
    "--limit", type=click.IntRange(1), default=32, show_default=True, help="Runs at once."
)
@click.option("--name", help="Name in the Prefect UI; the process's identity is added.")
@click.option("--queue", "queues", multiple=True, help="Work queue to serve; else all. Repeatable.")
@click.option("--drain", "drain_s", type=float, default=30.0, show_default=True, help="Seconds.")
@json_option
def worker(
    pool: str, limit: int, name: str | None, queues: tuple[str, ...], drain_s: float, as_json: bool
) -> None:
    """Run a warm worker in the foreground; needs PREFECT_API_URL and DATABASE_URL, or `up`."""
    from deployments.system import attached
    from tasks.adapters.settings import read_settings

    attached(read_settings())
    # Importing Prefect takes seconds, and its clean-up at exit waits for a server that may be
    # gone: until the worker takes the signals over, nothing runs that would need an orderly end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: os._exit(128 + received))
    from deployments.worker.start import run_worker

    if as_json:
        print_json({"pool": pool, "limit": limit, "pid": os.getpid()})
    run_worker(pool=pool, limit=limit, name=name, queues=queues, drain_s=drain_s)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8701, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
def simulator(port: int, seed: int, as_json: bool) -> int:
    """Run the OpenRouter simulator in the foreground, for clients under test.

    It prints where it listens as one JSON document, with and without --json.
    """
    from deployments.simulator.__main__ import main

    say("Ctrl-C ends it; POST /simulator/faults makes it fail on demand")
    return main(["--port", str(port), "--seed", str(seed)])


@click.group("db")
def database() -> None:
    """Look after the database."""


@database.command()
@json_option
def upgrade(as_json: bool) -> None:
    """Bring the schema of DATABASE_URL (or the embedded database) up to date."""
    from deployments.system import running_parts
    from tasks.adapters.settings import read_settings

    with running_parts(read_settings(), prefect=False, notify=say) as settings:
        from tasks.adapters.migrations import expected_schema, upgrade_database

        upgrade_database(settings.database_dsn)
    if as_json:
        print_json({"revision": expected_schema().revision})
    say("the schema is up to date")
