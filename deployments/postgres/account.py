"""The operating system user that runs PostgreSQL, which refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from deployments.postgres.binaries import binary, shared_file
from models.errors import PostgresFailed

SERVICE_USER = "switchyard"
# Least first: a private folder above (/root, a 0700 home) needs the first capability; programs
# installed for root alone, or a container without the first, need the second.
CAPABILITIES = ("", "dac_read_search", "dac_override")
# Each step asks the kernel: enter both folders, open a shared file, and let initdb find and run
# the server's program, which it does with the same access() checks as the server itself.
PROBE = 'cd "$1" && cd "$2" && : <"$3" && "$4" --show -D "$1"'


@dataclass(frozen=True)
class Account:
    """Who runs the programs; a `capability` lets that user pass folders closed to it."""

    name: str
    uid: int
    gid: int
    switches: bool
    capability: str = ""

    def own(self, path: Path) -> None:
        """Give `path` itself, never what it links to, to this user."""
        if self.switches:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def run(
        self,
        command: Sequence[str | Path],
        *,
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
        inherited_fds: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `command` as this user, apart from our terminal, environment and open files.

        Raises:
            PostgresFailed: this process may not switch to that user.
        """
        plain = self.switches and not self.capability
        try:
            return subprocess.run(
                [*self._prefix(), *command],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=inherited_fds,
                cwd="/",  # ours may be closed to this user
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                start_new_session=True,
                umask=0o077,
                user=self.uid if plain else None,
                group=self.gid if plain else None,
                extra_groups=() if plain else None,
            )
        except PermissionError as error:
            raise PostgresFailed(f"PostgreSQL cannot be run as user {self.name!r}") from error

    def _prefix(self) -> list[str]:
        if not self.capability:
            return []
        grant = f"-all,+{self.capability}"
        return [
            "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.gid}",
            "--clear-groups",
            "--no-new-privs",
            f"--inh-caps={grant}",
            f"--ambient-caps={grant}",
            # Without it access() ignores capabilities, and PostgreSQL does not find itself.
            "--securebits=+no_setuid_fixup",
            "--",
        ]


def choose_account(data: Path) -> Account:
    """Return ourselves, or for root the owner of the data, or else the service user."""
    uid = os.geteuid()
    if uid != 0:
        return Account(name=f"uid {uid}", uid=uid, gid=os.getegid(), switches=False)
    owner = data.stat() if data.is_dir() else None
    if owner is not None and owner.st_uid != 0:
        name = f"uid {owner.st_uid}"
        return Account(name=name, uid=owner.st_uid, gid=owner.st_gid, switches=True)
    entry = _service_user()
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, switches=True)


def with_reach(account: Account, data: Path, socket_dir: Path) -> Account:
    """Return `account` with the least capability that reaches the folders and the programs.

    Raises:
        PostgresFailed: no capability that this process may grant is enough.
    """
    probe: list[str | Path] = ["/bin/sh", "-c", PROBE, "sh"]
    probe += [data, socket_dir, shared_file(), binary("initdb")]
    complaint = ""
    for capability in CAPABILITIES if account.switches and shutil.which("setpriv") else ("",):
        able = replace(account, capability=capability)
        answer = able.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if answer.returncode == 0:
            return able
        complaint = complaint or _last_line(answer.stderr)
    raise PostgresFailed(
        f"PostgreSQL runs as user {account.name!r}, who cannot reach its files ({complaint});"
        " SWITCHYARD_HOME and the Python environment must be on paths that this user can reach"
    )


def _last_line(output: bytes) -> str:
    return output.decode(errors="replace").strip().rpartition("\n")[2]


def _service_user() -> pwd.struct_passwd:
    for name in (SERVICE_USER, "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            if name == SERVICE_USER and _service_user_created():
                return pwd.getpwnam(name)
    raise PostgresFailed(
        f"PostgreSQL refuses to run as root: create the user {SERVICE_USER!r} or set DATABASE_URL"
    )


def _service_user_created() -> bool:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if useradd is None:
        return False
    options = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    created = subprocess.run(
        [useradd, *options, SERVICE_USER], check=False, capture_output=True, cwd="/"
    )
    return created.returncode in (0, 9)  # 9: another process has just created it
