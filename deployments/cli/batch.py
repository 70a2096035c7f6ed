"""`switchyard batch`: a file of requests, answered line by line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deployments.cli.output import cell_text, json_option, print_json, say

if TYPE_CHECKING:
    from deployments.batches import BatchOrder
    from models.batch import BatchCounts


@click.command()
@click.argument("source", metavar="FILE.jsonl", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--max-cost", metavar="USD", help="Most that the whole batch may cost.")
@click.option("--deadline", "deadline_s", type=click.FloatRange(min=0, min_open=True), metavar="S")
@click.option("--concurrency", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--again", "anew", is_flag=True, help="Ask and pay again for a file done before.")
@click.option(
    "--upstream-batch",
    is_flag=True,
    help="Use the upstream's asynchronous batches: cheaper, answers may take 24 h.",
)
@click.option("--trace", type=click.Choice(["flow", "ledger"]), default="flow", show_default=True)
@json_option
def batch(max_cost: str | None, as_json: bool, **fields: Any) -> int:
    """Route every line of FILE.jsonl, a request document each; results go to --out as they come.

    A line that cannot be read is reported with its number and does not stop the others. Started
    again, the same file goes on where it stopped: completed lines are not asked again, all others
    are. With --upstream-batch lines of one model go to the upstream together, at its discount;
    stopped meanwhile, the same command waits on. Exit codes: 1 lines failed, 3 lines refused by a
    budget, 4 lines parked, 2 bad lines.
    """
    order = _order(max_cost, fields)
    batch_id, counts = _run(order)
    if as_json:
        print_json({"batch_id": batch_id, "out": str(order.out), **counts.as_dict()})
    by_status = ", ".join(f"{n} {status}" for status, n in sorted(counts.by_status.items()))
    say(
        f"{counts.lines} lines: {by_status}; {counts.duplicates} duplicates,"
        f" cost {cell_text(counts.cost_usd)}; results in {order.out}"
    )
    return counts.exit_code()


def _order(max_cost: str | None, fields: dict[str, Any]) -> BatchOrder:
    from deployments.batches import BatchOrder
    from models.errors import InvalidRequest

    source, out = fields["source"], fields["out"]
    if not source.is_file():
        raise InvalidRequest(f"there is no file {str(source)!r}")
    if not source.stat().st_size:
        raise InvalidRequest(f"{str(source)!r} has no lines")
    if out.exists() and out.samefile(source):
        raise InvalidRequest("--out must be another file than the one that is read")
    if not out.absolute().parent.is_dir():
        raise InvalidRequest(f"--out: there is no folder {str(out.absolute().parent)!r}")
    return BatchOrder(max_cost_usd=_amount(max_cost), **fields)


def _amount(text: str | None) -> Decimal | None:
    from models.errors import InvalidRequest
    from models.money import parse_usd

    try:
        return None if text is None else parse_usd(text)
    except ValueError as error:
        raise InvalidRequest(f"--max-cost: {error}") from None


def _run(order: BatchOrder) -> tuple[object, BatchCounts]:
    import asyncio

    from deployments.system import running_parts
    from tasks.adapters.settings import read_settings

    with running_parts(read_settings(), prefect=order.trace == "flow", notify=say) as settings:
        from deployments.batches import run_batch

        with _bar() as tell:
            return asyncio.run(run_batch(settings, order, tell))


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[BatchCounts], None]]:
    """Show how far the batch is, on stderr; only where a person looks at it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), Remaining())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        shown = progress.add_task("", total=None)

        def tell(counts: BatchCounts) -> None:
            cost = cell_text(counts.cost_usd)
            progress.update(shown, total=counts.lines, completed=counts.ended, description=cost)

        yield tell
