"""The server's log file: kept small, and quoted when something fails."""

from __future__ import annotations

import os
import re
from types import TracebackType
from typing import Self

from deployments.postgres.layout import Layout
from models.errors import DiskFull, PostgresFailed, WorldFailed

LOG_BYTES_MAX = 10 * 1024 * 1024
TELLING = re.compile(r"\b(FATAL|PANIC|ERROR|error|HINT|hint):")
QUOTED_LINES_MAX = 3


class ServerLog:
    """The log, open for a program to append to; remembers where that program began."""

    def __init__(self, layout: Layout) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self.file = os.fdopen(os.open(layout.log, flags, 0o600), "rb+")
        if os.fstat(self.file.fileno()).st_size > LOG_BYTES_MAX:
            self.file.truncate(0)
        self._layout = layout
        self._begin_bytes = os.fstat(self.file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def failure(self, what: str) -> WorldFailed:
        """Return the error that says `what`, with the lines of the log that tell why."""
        self.file.seek(self._begin_bytes)
        text = self.file.read().decode(errors="replace")
        if "No space left on device" in text:
            return DiskFull(f"no space left for the embedded PostgreSQL in {self._layout.root}")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in lines if TELLING.search(line)] or lines
        quoted = "; ".join(telling[-QUOTED_LINES_MAX:])
        return PostgresFailed(f"embedded PostgreSQL: {what}: {quoted} (log: {self._layout.log})")
