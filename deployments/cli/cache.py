"""`switchyard cache`: what is kept for policies with a cache, and dropping it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from deployments.cli.output import json_option, print_json, print_table, say
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from tasks.adapters.runtime import Runtime


@click.group()
def cache() -> None:
    """Show or drop the answers that policies keep for equal requests."""


@cache.command()
@json_option
def stats(as_json: bool) -> None:
    """Show how many answers are kept, how large they are and how often they served."""

    async def read(opened: Runtime) -> dict[str, Any]:
        from tasks.adapters.store.answers import answer_statistics

        found = await answer_statistics(opened.database)
        return found | {"bytes_max": opened.settings.cache_bytes_max}

    document = in_runtime(read)
    if as_json:
        print_json(document)
        return
    columns = ("policy", "entries", "bytes", "oldest_at", "hits")
    print_table(columns, [tuple(one[name] for name in columns) for one in document["policies"]])
    say(
        f"{document['entries']} answers, {document['bytes']} of {document['bytes_max']} bytes,"
        f" {document['hits']} hits, {document['in_flight']} in flight"
    )


@cache.command()
@click.option("--policy", help="Drop this policy's answers only.")
@json_option
def purge(policy: str | None, as_json: bool) -> None:
    """Drop kept answers; equal requests are asked and paid again."""

    async def drop(opened: Runtime) -> int:
        from tasks.adapters.store.answers import purge_answers
        from tasks.adapters.store.policies import read_policy

        if policy is not None:
            await read_policy(opened.database, policy)  # a mistyped name must not look like success
        return await purge_answers(opened.database, policy)

    dropped = in_runtime(drop)
    if as_json:
        print_json({"purged": dropped})
    else:
        say(f"{dropped} answers are dropped")
