"""Where a batch's results go as they come: injected by the process, never a task parameter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from models.batch import BatchCounts
from tasks.adapters.scoped import scoped


class BatchSink(Protocol):
    """Takes the documents of lines that have ended, stored already."""

    async def take(self, documents: Sequence[dict[str, Any]], counts: BatchCounts) -> None:
        """Take documents and the new counts; called again for the same line after a crash."""


_current: ContextVar[BatchSink | None] = ContextVar("switchyard_batch_sink", default=None)


def current_batch_sink() -> BatchSink | None:
    """Return the sink of this batch, or None: results are in the database in any case."""
    return _current.get()


@contextlib.contextmanager
def delivering_to(sink: BatchSink | None) -> Iterator[None]:
    """Give the results of every batch inside this block to `sink`."""
    with scoped(_current, sink):
        yield


def line_document(
    number: int, status: str, labels: Any, result: Any, problem: str | None = None
) -> dict[str, Any]:  # Any: JSON
    """Return what is written for one line: its result, or what was wrong with it."""
    document: dict[str, Any] = {"line": number, "status": status}
    if labels:
        document["metadata"] = labels
    if problem is not None:
        return document | {"error": problem}
    return document | {"result": result}
