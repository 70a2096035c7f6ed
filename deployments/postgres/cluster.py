"""Make the data directory and its password, whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil

from deployments.postgres.account import Account
from deployments.postgres.binaries import binary
from deployments.postgres.layout import Layout
from deployments.postgres.log import ServerLog
from models.errors import PostgresFailed

SUPERUSER = "switchyard"
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    # The server's own C.UTF-8 sorts the same on every machine; the system's may be missing.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


def has_cluster(layout: Layout) -> bool:
    """Whether the data directory exists.

    Raises:
        PostgresFailed: something else is in its place, or its password is lost.
    """
    if not layout.data.exists():
        return False
    if not (layout.data / "PG_VERSION").is_file():
        raise PostgresFailed(f"{layout.data} is not a PostgreSQL data directory: move it away")
    if not layout.password.is_file():
        raise PostgresFailed(
            f"{layout.password} is missing, and the database in {layout.data} cannot be opened"
            " without it: put it back, or move both away"
        )
    return True


def prepare_partial(layout: Layout, account: Account) -> None:
    """Make an empty folder for initdb; what a killed one left behind goes."""
    if layout.partial_data.exists():
        shutil.rmtree(layout.partial_data)
    layout.partial_data.mkdir(mode=0o700)
    account.own(layout.partial_data)


def make_cluster(layout: Layout, account: Account, *, server_lock_fd: int) -> None:
    """Fill the partial folder with initdb and move it into its place.

    Raises:
        PostgresFailed: initdb failed; nothing of its work is left.
    """
    _make_password(layout, account)
    options = [*INITDB_OPTIONS, f"--pwfile={layout.password}", f"--pgdata={layout.partial_data}"]
    with ServerLog(layout) as log:
        made = account.run(
            [binary("initdb"), *options],
            stdout=log.file,
            stderr=log.file,
            inherited_fds=(server_lock_fd,),
        )
        if made.returncode != 0:
            shutil.rmtree(layout.partial_data)
            raise log.failure("the database could not be made")
    layout.partial_data.rename(layout.data)
    _sync_folder(layout)


def _make_password(layout: Layout, account: Account) -> None:
    if not layout.password.exists():
        partial = layout.password.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.rename(layout.password)
    account.own(layout.password)  # initdb reads it as that user


def _sync_folder(layout: Layout) -> None:
    descriptor = os.open(layout.root, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
