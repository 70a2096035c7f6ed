"""The files of the embedded PostgreSQL below SWITCHYARD_HOME, and the folders they need."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.errors import DiskFull, PostgresFailed


@dataclass(frozen=True)
class Layout:
    """The paths of one home; `server_lock` is held by every process of the running server."""

    home: Path

    @property
    def root(self) -> Path:
        """The folder that holds everything else."""
        return self.home / "postgres"

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "data"

    @property
    def partial_data(self) -> Path:
        """Where initdb works, so that `data` is always whole."""
        return self.root / "data.partial"

    @property
    def password(self) -> Path:
        """The superuser's password, mode 0600."""
        return self.root / "password"

    @property
    def log(self) -> Path:
        """The log of the server and of initdb."""
        return self.root / "postgres.log"

    @property
    def start_lock(self) -> Path:
        """Held alone while a user enters or leaves."""
        return self.root / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Shared by all users of the server for as long as they live."""
        return self.root / "users.lock"

    @property
    def server_lock(self) -> Path:
        """Inherited by initdb, the server and its backends: free means that all are gone."""
        return self.root / "server.lock"


def prepare_layout(home: Path) -> Layout:
    """Return the layout of `home` with its folders made; existing folders keep their mode."""
    layout = Layout(home.expanduser().resolve())
    make_private(layout.home)
    # Root's server runs under a service user, which has to pass through but not to look.
    make_private(layout.root, mode=0o711 if os.geteuid() == 0 else 0o700)
    return layout


def make_private(folder: Path, *, mode: int = 0o700) -> None:
    """Make `folder` and what is missing above it, for their owner only."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return  # another process was faster
    folder.chmod(mode)


@contextmanager
def explained(home: Path) -> Iterator[None]:
    """Turn what the operating system refuses into one line that names the home."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left for the embedded PostgreSQL below {home}") from error
        raise PostgresFailed(f"embedded PostgreSQL below {home}: {error}") from error
