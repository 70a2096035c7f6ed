"""`switchyard keys`: who may call the HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from deployments.cli.output import json_option, print_json, print_table, say
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from models.api_key import ApiKey
    from tasks.adapters.runtime import Runtime

SCOPES = ("route", "read", "admin")
COLUMNS = ("name", "prefix", "scopes", "worker", "created", "expires", "last used", "revoked")


@click.group()
def keys() -> None:
    """Make, list, rotate and revoke the keys of the HTTP API."""


@keys.command()
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, default=("route",))
@click.option("--worker", "worker_id", help="Requests of this key are this worker's.")
@click.option("--rate", type=click.IntRange(1), help="Requests a minute.")
@click.option("--concurrency", type=click.IntRange(1), help="Requests at once.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is good; else for ever.")
@json_option
def create(
    name: str,
    scopes: tuple[str, ...],
    worker_id: str | None,
    rate: int | None,
    concurrency: int | None,
    days: int | None,
    as_json: bool,
) -> None:
    """Make a key and print its token, which is shown only now."""
    from models.api_key import Scope

    async def save(opened: Runtime) -> tuple[ApiKey, str]:
        from tasks.adapters.store.keys import create_key

        return await create_key(
            opened.database,
            name,
            [Scope(scope) for scope in scopes],
            worker_id=worker_id,
            requests_per_minute=rate,
            concurrent_max=concurrency,
            expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
        )

    _print_token(*in_runtime(save), as_json=as_json)


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List every key there ever was; tokens cannot be shown."""

    async def read(opened: Runtime) -> list[ApiKey]:
        from tasks.adapters.store import keys as store

        return await store.list_keys(opened.database)

    found = in_runtime(read)
    if as_json:
        print_json({"items": [key.document() for key in found], "next_cursor": None})
        return
    print_table(
        COLUMNS,
        [
            (
                key.name,
                key.prefix,
                ", ".join(sorted(key.scopes)),
                key.worker_id,
                key.created_at,
                key.expires_at,
                key.last_used_at,
                key.revoked_at,
            )
            for key in found
        ],
    )


@keys.command()
@click.argument("name")
@json_option
def rotate(name: str, as_json: bool) -> None:
    """Give a key a new token; the old one stops to work within 5 seconds."""

    async def save(opened: Runtime) -> tuple[ApiKey, str]:
        from tasks.adapters.store.keys import rotate_key

        return await rotate_key(opened.database, name)

    _print_token(*in_runtime(save), as_json=as_json)


@keys.command()
@click.argument("name")
@json_option
def revoke(name: str, as_json: bool) -> None:
    """End a key for good; it stops to work within 5 seconds."""

    async def save(opened: Runtime) -> ApiKey:
        from tasks.adapters.store.keys import revoke_key

        return await revoke_key(opened.database, name)

    key = in_runtime(save)
    if as_json:
        print_json(key.document())
    else:
        say(f"key {key.name!r} is revoked")


def _print_token(key: ApiKey, token: str, *, as_json: bool) -> None:
    if as_json:
        print_json(key.document() | {"token": token})
        return
    say(f"key {key.name!r} ({', '.join(sorted(key.scopes))}); its token is shown only now:")
    click.echo(token)
