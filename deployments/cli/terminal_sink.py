"""A streamed answer on the terminal."""

from __future__ import annotations

from uuid import UUID

import click

from deployments.cli.output import cell_text, say
from models.completion import StreamDelta


class TerminalSink:
    """Prints each piece as it arrives; the model's name goes to stderr first."""

    def __init__(self) -> None:
        self._started = False

    @property
    def started(self) -> bool:
        """True once a piece was printed."""
        return self._started

    async def chosen(self, decision_id: UUID, policy: str, model_id: str) -> None:
        """Name the model before its first token."""
        say(f"[{policy}: {model_id}]")

    async def piece(self, delta: StreamDelta) -> None:
        """Print one piece at once."""
        self._started = self._started or bool(delta.content)
        click.echo(cell_text(delta.content), nl=False)
