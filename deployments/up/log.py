"""The one log of `switchyard up`: on the terminal, and in rotated files below the home."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Iterable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from models.errors import DiskFull
from tasks.adapters.redaction import Redactor

FILE_BYTES_MAX = 5 * 1024 * 1024
FILES_KEPT = 4
NAME_CHARS = 9
COLOURS = (36, 35, 34, 32, 33, 96, 95)  # of the parts, as ANSI numbers
OWN_COLOUR, RED, YELLOW = 1, 31, 33
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
LEVEL = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+")
LEVEL_COLOURS = {"WARNING": YELLOW, "ERROR": RED, "CRITICAL": RED}


class UpLog:
    """Writes one line at a time: the time, the part, the text."""

    def __init__(self, folder: Path, secrets: Iterable[str], stream: TextIO | None = None) -> None:
        self.file = folder / "up.log"
        self._stream: TextIO | None = stream or sys.stderr
        self._coloured = self._stream.isatty()
        self._redact = Redactor(secrets)
        self._colours: dict[str, int] = {}
        self._handler = _file_handler(self.file)

    def say(self, text: str) -> None:
        """Write a line of the supervisor's own."""
        self.write("up", text)

    def write(self, part: str, line: str, *, shown: bool = True) -> None:
        """Write a line of a part, to the file alone when it is not to be `shown`.

        Control characters are made visible, secrets masked.
        """
        text = self._redact(_printable(ESCAPES.sub("", line)).rstrip())
        if not text:
            return
        now = time.strftime("%H:%M:%S")
        level = LEVEL.match(text)
        if level is not None and level[1] in ("INFO", "DEBUG"):
            text = text[level.end() :]
        self._to_file(part, text)
        if shown:
            self._to_terminal(now, part, text, LEVEL_COLOURS.get(level[1]) if level else None)

    def block(self, lines: Iterable[str]) -> None:
        """Write lines to the terminal as they are: the summary at the end of a start."""
        self._print("\n".join(["", *lines, ""]))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()

    def _to_terminal(self, now: str, part: str, text: str, colour: int | None) -> None:
        name = part.ljust(NAME_CHARS)
        if self._coloured:
            number = OWN_COLOUR if part == "up" else self._colour(part)
            text = text if colour is None else f"\x1b[{colour}m{text}\x1b[0m"
            self._print(f"\x1b[2m{now}\x1b[0m \x1b[{number}m{name}\x1b[0m {text}")
        else:
            self._print(f"{now} {name} {text}")

    def _colour(self, part: str) -> int:
        return self._colours.setdefault(part, COLOURS[len(self._colours) % len(COLOURS)])

    def _print(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone: the file goes on
            self._stream = None

    def _to_file(self, part: str, text: str) -> None:
        line = f"{part.ljust(NAME_CHARS)} {text}"
        self._handler.handle(logging.LogRecord(part, logging.INFO, "", 0, line, None, None))


class _File(RotatingFileHandler):
    """A file handler that lets the system run on when the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the line: it is on the terminal, and a full disk shows in what needs the disk."""


def _file_handler(file: Path) -> RotatingFileHandler:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        handler = _File(file, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8")
    except OSError as error:
        raise DiskFull(f"cannot write {str(file)!r}: {error.strerror}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    return handler


def _printable(text: str) -> str:
    return "".join(
        char if char.isprintable() else " " if char == "\t" else "\ufffd" for char in text
    )
