"""File locks that the kernel frees when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` alone; wait for as long as another process or thread has it."""
    with opened(path) as lock_fd:
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            release(lock_fd)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a lock file without locking it; closing does not unlock what a child inherited."""
    lock_fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield lock_fd
    finally:
        os.close(lock_fd)


def share(lock_fd: int) -> None:
    """Hold the lock together with others; wait while somebody holds it alone."""
    fcntl.flock(lock_fd, fcntl.LOCK_SH)


def release(lock_fd: int) -> None:
    """Unlock for good, also where a forked child still has the file open."""
    fcntl.flock(lock_fd, fcntl.LOCK_UN)


def taken_alone(lock_fd: int) -> bool:
    """Take the lock exclusively if that needs no waiting, and say whether it did."""
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
