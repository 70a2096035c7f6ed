"""`switchyard simulator` and `switchyard db`."""

from __future__ import annotations

import click

from deployments.cli.output import say


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8701, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def simulator(port: int, seed: int) -> int:
    """Run the OpenRouter simulator in the foreground, for clients under test."""
    from deployments.simulator.__main__ import main

    say("Ctrl-C ends it; POST /simulator/faults makes it fail on demand")
    return main(["--port", str(port), "--seed", str(seed)])


@click.group("db")
def database() -> None:
    """Look after the database."""


@database.command()
def upgrade() -> None:
    """Bring the schema of DATABASE_URL (or the embedded database) up to date."""
    from deployments.system import running_parts
    from tasks.adapters.settings import read_settings

    with running_parts(read_settings(), prefect=False, notify=say) as settings:
        from tasks.adapters.migrations import upgrade_database

        upgrade_database(settings.database_dsn)
    say("the schema is up to date")
