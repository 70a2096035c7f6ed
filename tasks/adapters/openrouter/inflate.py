"""Undoes gzip and deflate in small steps, so that a small body cannot fill the memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

STEP_BYTES = 64 * 1024
WINDOW_BITS = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}


class UndecodableBody(ValueError):
    """The body is not in the encoding that it claims, or in one we did not ask for."""


class Inflater:
    """Decodes a body piece by piece; httpx would inflate a whole piece at once, bomb or not."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower() or "identity"
        if name != "identity" and name not in WINDOW_BITS:
            raise UndecodableBody("the answer has a content encoding that was not asked for")
        self._inflate = None if name == "identity" else zlib.decompressobj(WINDOW_BITS[name])

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """Yield the decoded bytes in steps of at most 64 KiB; raises UndecodableBody."""
        if self._inflate is None:
            for start in range(0, len(raw), STEP_BYTES):
                yield raw[start : start + STEP_BYTES]
            return
        try:
            while raw:
                piece = self._inflate.decompress(raw, STEP_BYTES)
                raw = self._inflate.unconsumed_tail
                if piece:
                    yield piece
        except zlib.error as error:
            raise UndecodableBody("the answer's content encoding is broken") from error
