"""`switchyard limits`: how many calls the upstream takes, shared by every process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from deployments.cli.output import json_option, print_json, print_table, say
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from models.rate_limit import LimitOrder, RateLimit
    from tasks.adapters.runtime import Runtime


@click.group()
def limits() -> None:
    """Show and set the rate limits of the upstream key and its models."""


@limits.command("list")
@json_option
def list_limits(as_json: bool) -> None:
    """List every limit, set or learned from a 429, with who waits under it."""
    _print(in_runtime(_read), as_json=as_json)


@limits.command("set")
@click.argument("model", metavar="MODEL|*")
@click.option("--rpm", type=int, metavar="N", help="Calls a minute.")
@click.option("--concurrency", type=int, metavar="N", help="Calls under way at once.")
@json_option
def set_limit(model: str, rpm: int | None, concurrency: int | None, as_json: bool) -> None:
    """Set the limit of a model, of every call of the key (*), or of its free models (*:free).

    Example: switchyard limits set '*' --rpm 60
    """
    from models.rate_limit import parse_limit

    if rpm is None and concurrency is None:
        raise click.UsageError("give --rpm, --concurrency or both")
    order = parse_limit({"model": model, "requests": rpm, "concurrency": concurrency})
    _print(in_runtime(_saving(order)), as_json=as_json)


@limits.command("unset")
@click.argument("model", metavar="MODEL|*")
@json_option
def unset_limit(model: str, as_json: bool) -> None:
    """Take a limit away, and forget what a 429 taught of it."""
    from models.rate_limit import parse_limit

    _print(in_runtime(_saving(parse_limit({"model": model}))), as_json=as_json)


async def _read(opened: Runtime) -> list[RateLimit]:
    from tasks.adapters.store.limits import read_limits

    return await read_limits(opened.database, opened.limits.account)


def _saving(order: LimitOrder) -> Callable[[Runtime], Awaitable[list[RateLimit]]]:
    async def save(opened: Runtime) -> list[RateLimit]:
        from tasks.adapters.store.limits import set_limit

        await set_limit(opened.database, opened.limits.account, order)
        return await _read(opened)

    return save


def _print(found: list[RateLimit], *, as_json: bool) -> None:
    if as_json:
        items = [limit.model_dump(mode="json") for limit in found]
        print_json({"items": items, "next_cursor": None})
        return
    if not found:
        say("no limit is set or learned")
        return
    columns = (
        "model",
        "source",
        "calls",
        "at once",
        "waiting",
        "turns",
        "waited",
        "no turn",
        "blocked until",
        "ends",
    )
    print_table(columns, [_row(limit) for limit in found])


def _row(limit: RateLimit) -> tuple[object, ...]:
    calls = None if limit.requests is None else f"{limit.requests} in {limit.period_s:g} s"
    return (
        limit.model,
        limit.source,
        calls,
        limit.concurrency,
        limit.waiting,
        limit.turns,
        f"{limit.waited_s:.0f} s",
        limit.refusals,
        limit.blocked_until,
        limit.expires_at or "never",
    )
