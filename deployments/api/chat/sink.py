"""The pieces of a streamed answer on their way to a client; a slow client slows the upstream."""

from __future__ import annotations

import asyncio
from uuid import UUID

from models.completion import StreamDelta

PIECES_MAX = 16  # what may wait for a slow client


class ClientSink:
    """Takes what the attempt brings; the response takes it out again."""

    def __init__(self) -> None:
        self.decision_id: UUID | None = None
        self.policy = self.model_id = ""
        self.has_finished = False
        self.chosen_once = asyncio.Event()
        self.pieces: asyncio.Queue[StreamDelta] = asyncio.Queue(PIECES_MAX)
        self._started = False

    @property
    def started(self) -> bool:
        """True once a piece was passed on; from then on a fallback would be visible."""
        return self._started

    async def chosen(self, decision_id: UUID, policy: str, model_id: str) -> None:
        """Learn which model is asked; called again on a fallback."""
        self.decision_id, self.policy, self.model_id = decision_id, policy, model_id
        self.chosen_once.set()

    async def piece(self, delta: StreamDelta) -> None:
        """Take one piece, when there is room for it."""
        self._started = True
        await self.pieces.put(delta)
        if delta.finish_reason not in (None, "error"):
            self.has_finished = True
