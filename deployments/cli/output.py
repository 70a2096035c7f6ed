"""What the commands print: one JSON document for programs, tables for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

import click

from models.money import plain

PIPE_WIDTH = 160
Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Add `--json` to a command."""
    add = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    return add(command)


def say(text: str) -> None:
    """Tell the person something on stderr; stdout is for results."""
    click.echo(text, err=True)


def print_json(document: object) -> None:
    """Print one JSON document on stdout; money becomes decimal strings, times ISO 8601."""
    click.echo(json.dumps(document, default=_json_value, indent=2, ensure_ascii=False))


def _json_value(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print a table on stdout; columns of money and numbers stand right."""
    # rich is half of a second command's start-up time, so only what prints a table loads it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], Decimal | int | float | None) for row in rows)
        table.add_column(column, justify="right" if numeric and rows else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell_text(cell)) for cell in row))  # Text: no markup from outside
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH  # a file has no edge to wrap at
    console.print(table)


def cell_text(cell: object) -> str:
    """Return how a person reads a value; control characters are shown, not obeyed."""
    if cell is None:
        return "-"
    if isinstance(cell, Decimal):
        return f"${plain(cell)}"
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M %Z")
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in str(cell))
