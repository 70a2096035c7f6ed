"""Where a streamed answer goes: injected by the process, never a task parameter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Protocol
from uuid import UUID

from models.completion import StreamDelta
from tasks.adapters.scoped import scoped


class Sink(Protocol):
    """Receives the choice of model, then the answer piece by piece."""

    @property
    def started(self) -> bool:
        """True once a piece was passed on; from then on a fallback would be visible."""

    async def chosen(self, decision_id: UUID, policy: str, model_id: str) -> None:
        """Learn which model is asked, before its first token; called again on a fallback."""

    async def piece(self, delta: StreamDelta) -> None:
        """Take one piece; a slow sink slows the upstream down."""


_current: ContextVar[Sink | None] = ContextVar("switchyard_sink", default=None)


def current_sink() -> Sink | None:
    """Return the sink that this call streams into, or None."""
    return _current.get()


@contextlib.contextmanager
def streaming_into(sink: Sink | None) -> Iterator[None]:
    """Stream every answer inside this block into `sink`."""
    with scoped(_current, sink):
        yield
