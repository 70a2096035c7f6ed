"""One `up` for a home, and nothing left of it when it is killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deployments.postgres.locks import opened, taken_alone
from deployments.up_file import read_up_file
from models.errors import WorldFailed

LAST_FAMILY_LIMIT_S = 90.0  # a worker whose supervisor was killed has 60 s to bring its runs home
POLL_S = 0.2


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Be the one `up` of this home; raises WorldFailed when another one runs."""
    with opened(home / "up.lock") as lock_fd:
        if not taken_alone(lock_fd):
            up = read_up_file(home)
            what = "it is just starting or stopping" if up is None else f"process {up.pid}"
            raise WorldFailed(f"`switchyard up` runs already for {str(home)!r} ({what})")
        yield


@contextlib.contextmanager
def family_lock(home: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Yield a locked descriptor for the children to inherit, once the last family is gone.

    The kernel keeps the lock for as long as any of them lives.
    """
    with opened(home / "up.parts.lock") as lock_fd:
        deadline_s = time.monotonic() + LAST_FAMILY_LIMIT_S
        told = False
        while not taken_alone(lock_fd):
            if not told:
                say("waiting for the parts of a killed `switchyard up` to end")
                told = True
            if time.monotonic() > deadline_s:
                raise WorldFailed(f"parts of a killed `switchyard up` still run in {str(home)!r}")
            time.sleep(POLL_S)
        yield lock_fd


@contextlib.contextmanager
def postgres_guard(home: Path) -> Iterator[int]:
    """Yield a descriptor for the children to inherit; when its last holder is gone, so is Postgres.

    The embedded PostgreSQL is nobody's child, so that any command can share it. The guard is a
    shell of 1 MB that waits for the end of a pipe, which closes whatever ends its holders, and
    only then becomes a Python that stops the server if nobody else uses it.
    """
    read_fd, write_fd = os.pipe()
    script = 'while read -r line; do :; done; exec "$@"'
    stop = [sys.executable, "-m", "deployments.up.stop_postgres", str(home)]
    guard = subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", *stop], stdin=read_fd, start_new_session=True
    )
    os.close(read_fd)
    try:
        yield write_fd
    finally:
        guard.kill()
        guard.wait()
        os.close(write_fd)
