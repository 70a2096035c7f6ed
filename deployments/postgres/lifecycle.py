"""Start the one server of a home, find it running, and stop it with all its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from deployments.postgres.account import Account, choose_account, with_reach
from deployments.postgres.binaries import binary
from deployments.postgres.cluster import has_cluster, make_cluster, prepare_partial
from deployments.postgres.layout import Layout
from deployments.postgres.locks import opened, taken_alone
from deployments.postgres.log import ServerLog
from deployments.postgres.postmaster import Postmaster, find_postmaster, is_alive
from deployments.postgres.socket_folder import (
    PORT,
    discard_socket_folder,
    make_socket_folder,
    socket_folder,
)
from models.errors import PostgresFailed, WorldFailed

START_LIMIT_S = 60.0  # recovery after a crash replays up to 1 GB of log
FAST_STOP_LIMIT_S = 60.0  # a fast stop writes a checkpoint
IMMEDIATE_STOP_LIMIT_S = 15.0
POLL_S = 0.02
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "logging_collector": "off",
}
# The shell ends at once, so the server is nobody's child: it outlives us and leaves us no zombie.
LAUNCH = '"$@" >&2 & echo $!'


def ensure_running(layout: Layout) -> Postmaster:
    """Return the running server of `layout`, started if need be; the start lock must be held.

    Raises:
        PostgresFailed: it did not become ready in time.
    """
    deadline_s = time.monotonic() + START_LIMIT_S
    with opened(layout.server_lock) as server_lock_fd:
        while True:
            found = find_postmaster(layout.data)
            if found and found.is_ready and found.socket.exists():
                return found
            if found and found.is_ready:  # its socket was cleaned away: nobody can connect any more
                _signal(found.pid, signal.SIGINT)
            if not found and taken_alone(server_lock_fd):
                return _start(layout, server_lock_fd)
            _wait(deadline_s, f"the server of {layout.data} did not become ready, or did not end")


def stop(layout: Layout) -> None:
    """Stop the server, if it runs, and wait until all its processes are gone.

    Raises:
        PostgresFailed: something of it is still running.
    """
    with opened(layout.server_lock) as server_lock_fd:
        found = find_postmaster(layout.data)
        if found:
            _signal(found.pid, signal.SIGINT)
        if not _gone(layout, server_lock_fd, FAST_STOP_LIMIT_S):
            _quit(layout)
            if not _gone(layout, server_lock_fd, IMMEDIATE_STOP_LIMIT_S):
                raise PostgresFailed(f"the server of {layout.data} does not stop")
        if layout.data.is_dir():
            uid = layout.data.stat().st_uid
            folder = found.socket_dir if found else socket_folder(layout.data, uid)
            discard_socket_folder(folder, uid)


def _start(layout: Layout, server_lock_fd: int) -> Postmaster:
    account = choose_account(layout.data)
    is_made = has_cluster(layout)
    socket_dir = make_socket_folder(layout.data, account)
    try:
        return _start_in(layout, account, socket_dir, server_lock_fd, is_made=is_made)
    except (WorldFailed, OSError):
        discard_socket_folder(socket_dir, account.uid)
        raise


def _start_in(
    layout: Layout, account: Account, socket_dir: Path, server_lock_fd: int, *, is_made: bool
) -> Postmaster:
    if is_made:
        account = with_reach(account, layout.data, socket_dir)
        # Its processes are gone, or we would not have the lock: the file is stale, and would
        # stop the server if its pid now belongs to another process of the same user.
        (layout.data / "postmaster.pid").unlink(missing_ok=True)
    else:
        prepare_partial(layout, account)
        account = with_reach(account, layout.partial_data, socket_dir)
        make_cluster(layout, account, server_lock_fd=server_lock_fd)
    return _launch(layout, account, socket_dir, server_lock_fd)


def _launch(layout: Layout, account: Account, socket_dir: Path, server_lock_fd: int) -> Postmaster:
    quoted_dir = '"' + str(socket_dir).replace('"', '""') + '"'  # the setting is a list
    settings = SETTINGS | {"unix_socket_directories": quoted_dir}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    server: list[str | Path] = [binary("postgres"), "-D", layout.data, *options]
    with ServerLog(layout) as log:
        launched = account.run(
            ["/bin/sh", "-c", LAUNCH, "sh", *server],
            stdout=subprocess.PIPE,
            stderr=log.file,
            inherited_fds=(server_lock_fd,),
        )
        if launched.returncode != 0:
            raise log.failure("the server could not be launched")
        return _until_ready(layout, int(launched.stdout), log)


def _until_ready(layout: Layout, pid: int, log: ServerLog) -> Postmaster:
    deadline_s = time.monotonic() + START_LIMIT_S
    while True:
        found = find_postmaster(layout.data)
        if found and found.pid == pid and found.is_ready:
            return found
        if not is_alive(pid):
            raise log.failure("the server did not start")
        _wait(
            deadline_s, f"the server was not ready after {START_LIMIT_S:.0f} s (log: {layout.log})"
        )


def _gone(layout: Layout, server_lock_fd: int, limit_s: float) -> bool:
    deadline_s = time.monotonic() + limit_s
    while find_postmaster(layout.data) or not taken_alone(server_lock_fd):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True


def _quit(layout: Layout) -> None:
    found = find_postmaster(layout.data)
    if found:
        _signal(found.pid, signal.SIGQUIT)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself, which is what was asked


def _wait(deadline_s: float, complaint: str) -> None:
    if time.monotonic() > deadline_s:
        raise PostgresFailed(f"embedded PostgreSQL: {complaint}")
    time.sleep(POLL_S)
