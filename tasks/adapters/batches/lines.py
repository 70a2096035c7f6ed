"""A file of requests becomes a stored batch, piece by piece, however long it is."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from models.batch import LINE_BYTES_MAX, parse_line
from models.budget import BudgetDefinition, BudgetPeriod, BudgetType
from models.errors import InvalidRequest
from models.money import plain
from tasks.adapters.runtime import Runtime
from tasks.adapters.store import batches as store

PIECE_LINES = 500
READ_BYTES = 1024 * 1024
Numbered = tuple[int, bytes]


async def store_file(
    opened: Runtime,
    path: Path,
    *,
    max_cost_usd: Decimal | None,
    concurrency: int,
    anew: bool,
) -> UUID:
    """Return the batch of a file, its lines stored; the same file again is the same batch.

    With `anew` it is a new edition, asked and paid again. Raises InvalidRequest for a file that
    cannot be read or has no lines.
    """
    source_hash = await asyncio.to_thread(_source_hash, path, max_cost_usd)
    batch_id, is_loaded = await store.open_batch(
        opened.database,
        batch_id=uuid4(),
        source_hash=source_hash,
        name=path.name,
        max_cost_usd=max_cost_usd,
        concurrency=concurrency,
        anew=anew,
    )
    if not is_loaded:
        if max_cost_usd is not None:
            await _limit(opened, batch_id, max_cost_usd)
        await _load(opened, batch_id, path, capped=max_cost_usd is not None)
    return batch_id


def _source_hash(path: Path, max_cost_usd: Decimal | None) -> str:
    limit = "" if max_cost_usd is None else plain(max_cost_usd)
    digest = hashlib.sha256(limit.encode() + b"\n")
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                digest.update(piece)
    except OSError as error:
        raise InvalidRequest(f"{str(path)!r} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


async def _limit(opened: Runtime, batch_id: UUID, amount_usd: Decimal) -> None:
    """Give the batch a budget of its own: it is one task, and its lines pay from it."""
    await opened.ledger.set_budget(
        BudgetDefinition(
            budget_type=BudgetType.TASK,
            scope_key=str(batch_id),
            budget_period=BudgetPeriod.ONCE,
            budget_amount=amount_usd,
        )
    )


async def _load(opened: Runtime, batch_id: UUID, path: Path, *, capped: bool) -> None:
    count = 0
    with path.open("rb") as file:
        lines = _numbered(file)
        while piece := list(islice(lines, PIECE_LINES)):
            parsed = [parse_line(number, text, capped=capped) for number, text in piece]
            await store.add_lines(opened.database, batch_id, parsed)
            count += len(piece)
    if not count:
        raise InvalidRequest(f"{str(path)!r} has no lines")
    await store.end_loading(opened.database, batch_id, count)


def _numbered(file: BinaryIO) -> Iterator[Numbered]:
    """Yield the lines that say something with their numbers; too long ones are cut."""
    number, is_rest = 0, False
    while text := file.readline(LINE_BYTES_MAX + 1):
        begins, is_rest = not is_rest, not text.endswith(b"\n")
        number += begins
        if begins and text.strip():
            yield number, text
