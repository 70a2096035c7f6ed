"""The short, private folder of the server's Unix socket."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from deployments.postgres.account import Account
from models.errors import PostgresFailed

PORT = 5432  # only part of the socket's name: nothing listens on TCP
# sun_path holds 104 bytes on macOS and 108 on Linux, including the final zero; the name of the
# socket takes 14 of them with its slash.
FOLDER_BYTES_MAX = 103 - len(f"/.s.PGSQL.{PORT}")


def make_socket_folder(data: Path, account: Account) -> Path:
    """Make the empty folder that belongs to `data`, whose server must be gone, and return it.

    A socket lock left by a killed server would stop the next one if its pid lives on as a zombie
    or as another process of the same user.

    Raises:
        PostgresFailed: something of another owner is in its place.
    """
    folder = socket_folder(data, account.uid)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        _adopt_leftover(folder, account)
    else:
        account.own(folder)
    _verify(folder, account)
    _empty(folder)
    return folder


def socket_folder(data: Path, uid: int) -> Path:
    """Return where the server of `data`, run by `uid`, has its socket when started from here."""
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()).resolve() / f"switchyard-{uid}-{digest}"
    if len(os.fsencode(folder)) > FOLDER_BYTES_MAX:
        return Path("/tmp") / folder.name  # safe: owner and mode are verified
    return folder


def discard_socket_folder(folder: Path, uid: int) -> None:
    """Remove the folder of a server that is gone, with what a killed one left in it."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
        return  # somebody else's
    _empty(folder)
    if not any(folder.iterdir()):
        folder.rmdir()


def _empty(folder: Path) -> None:
    for leftover in folder.glob(".s.PGSQL.*"):
        leftover.unlink()


def _adopt_leftover(folder: Path, account: Account) -> None:
    """Take over our own folder if we were killed between making it and giving it away."""
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() != account.uid:
        account.own(folder)


def _verify(folder: Path, account: Account) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
        raise PostgresFailed(
            f"the socket folder {folder} is not a folder of user {account.name!r}: remove it,"
            " or set TMPDIR to a folder of your own"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PostgresFailed(f"the socket folder {folder} is open to others: remove it")
