"""Server-sent events out of a stream of bytes, however the bytes are cut."""

from __future__ import annotations

import re

EVENT_BYTES_MAX = 8 * 1024 * 1024
EVENTS_MAX = 250_000  # twice the longest answer a model gives today, one token an event
LINE_END = re.compile(rb"\r\n|\n|\r")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class StreamTooLong(ValueError):
    """An event, or the number of events, is past the cap."""


class EventParser:
    """Collects bytes and hands out the data of finished events.

    Lines end with LF, CRLF or CR; comments and other fields than `data` are skipped; UTF-8 is
    decoded by whole lines, so that a character may be split anywhere
    (html.spec.whatwg.org, server-sent events, "Interpreting an event stream").
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []  # the unfinished line, in the pieces it came in
        self._data: list[bytes] = []  # the finished data lines of the unfinished event
        self._held_cr = False  # a CR at the end of the last piece: perhaps half a CRLF
        self._bytes = 0
        self._events = 0
        self._first = True

    def feed(self, piece: bytes) -> list[str]:
        """Return the data of every event that this piece finishes; raises StreamTooLong."""
        if self._held_cr:
            piece = b"\r" + piece
        self._held_cr = piece.endswith(b"\r")
        lines = LINE_END.split(piece[:-1] if self._held_cr else piece)
        self._line.append(lines[0])
        self._count(len(lines[0]))
        events = []
        for line in lines[1:]:
            events += self._end_line()
            self._line.append(line)
            self._count(len(line))
        return events

    def close(self) -> list[str]:
        """Return the last event when only its blank line is missing."""
        return [*self._end_line(), *self._end_event()]

    def _end_line(self) -> list[str]:
        line = b"".join(self._line)
        self._line.clear()
        if self._first:
            self._first, line = False, line.removeprefix(BYTE_ORDER_MARK)
        if not line:
            return self._end_event()
        if line == b"data" or line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        else:
            self._bytes -= len(line)  # a comment or an unknown field is not kept
        return []

    def _end_event(self) -> list[str]:
        if not self._data:
            return []
        self._events += 1
        if self._events > EVENTS_MAX:
            raise StreamTooLong(f"more than {EVENTS_MAX} events")
        text = b"\n".join(self._data).decode("utf-8", "replace")
        self._data.clear()
        self._bytes = 0
        return [text]

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > EVENT_BYTES_MAX:
            raise StreamTooLong(f"an event of more than {EVENT_BYTES_MAX} bytes")
