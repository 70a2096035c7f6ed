"""Counts that the processes behind one port share, in memory of their own."""

from __future__ import annotations

import contextlib
import fcntl
import math
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b

from deployments.api.gate import Bucket, Standing, too_many

CALLERS_MAX = 1024  # with a limit, at once; one that rests for a minute makes room
REST_S = 60.0  # after it every bucket is full again
NOBODY = bytes(16)
CALLER = struct.Struct("=16sdd")  # digest of the name, the bucket; then running, per process
COUNT = struct.Struct("=I")
ENDED = struct.Struct("=Q")


def shared_memory() -> int:
    """Return a descriptor of memory that child processes may inherit; it goes with them."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("switchyard-counts")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class SharedCounts:
    """One process's view; its own requests stand in a column that goes when it dies.

    The lock is fcntl's: the system opens it when its holder dies.
    """

    def __init__(self, fd: int, *, processes: int, number: int) -> None:
        self._fd, self._processes, self._number = fd, processes, number
        self._row_bytes = CALLER.size + COUNT.size * processes
        self._rows_at = (ENDED.size + COUNT.size) * processes
        size = self._rows_at + CALLERS_MAX * self._row_bytes
        with self.locked():
            if os.fstat(fd).st_size < size:
                os.ftruncate(fd, size)
        self._memory = mmap.mmap(fd, size)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other processes from counting meanwhile."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def total(self) -> int:
        """Return how many requests run, in all processes."""
        return self._sum(self._totals_at)

    def standing(self, name: str) -> Standing:
        """Return how a caller stands with all processes; raises 429 when too many callers do."""
        at = self._row(name)
        _, left, filled_at_s = CALLER.unpack_from(self._memory, at)
        bucket = None if math.isnan(left) else Bucket(left, filled_at_s)
        return Standing(self._sum(at + CALLER.size), bucket)

    def enter(self, name: str | None, bucket: Bucket | None) -> None:
        """Count a request of this process that begins."""
        self._add(self._totals_at, 1)
        if name is not None:
            at = self._row(name)
            self._add(at + CALLER.size, 1)
            if bucket is not None:
                CALLER.pack_into(self._memory, at, _digest(name), bucket.left, bucket.filled_at_s)

    def leave(self, name: str | None) -> None:
        """Count a request of this process that has ended."""
        self._add(self._totals_at, -1)
        if name is not None:
            self._add(self._row(name) + CALLER.size, -1)

    def forget(self, number: int) -> None:
        """Take back what a process counted that is dead."""
        with self.locked():
            self.tell_ended(0, number)
            rows = range(self._rows_at, len(self._memory), self._row_bytes)
            for at in (self._totals_at, *(row + CALLER.size for row in rows)):
                COUNT.pack_into(self._memory, at + COUNT.size * number, 0)

    def tell_ended(self, connections: int, number: int | None = None) -> None:
        """Say how many of the connections handed to this process have ended."""
        mine = self._number if number is None else number
        ENDED.pack_into(self._memory, ENDED.size * mine, connections)

    def ended(self, number: int) -> int:
        """Return how many of the connections handed to a process have ended."""
        connections: int = ENDED.unpack_from(self._memory, ENDED.size * number)[0]
        return connections

    @property
    def _totals_at(self) -> int:
        return ENDED.size * self._processes

    def _sum(self, at: int) -> int:
        return sum(struct.unpack_from(f"={self._processes}I", self._memory, at))

    def _add(self, at: int, by: int) -> None:
        mine = at + COUNT.size * self._number
        COUNT.pack_into(self._memory, mine, COUNT.unpack_from(self._memory, mine)[0] + by)

    def _row(self, name: str) -> int:
        """Return where the caller's row is; else make one where nobody is, or one that rests."""
        digest = _digest(name)
        first = int.from_bytes(digest[:4], "big")
        free = None
        for step in range(CALLERS_MAX):
            at = self._rows_at + (first + step) % CALLERS_MAX * self._row_bytes
            found = self._memory[at : at + len(NOBODY)]
            if found == digest:
                return at
            if free is None and self._is_free(at):
                free = at
            if found == NOBODY:
                break
        if free is None:
            raise too_many("too many callers at once", int(REST_S))
        CALLER.pack_into(self._memory, free, digest, math.nan, 0.0)
        return free

    def _is_free(self, at: int) -> bool:
        _, _, filled_at_s = CALLER.unpack_from(self._memory, at)
        rests = time.monotonic() - filled_at_s >= REST_S
        return rests and self._sum(at + CALLER.size) == 0


@lru_cache(maxsize=CALLERS_MAX)
def _digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=len(NOBODY)).digest()
