"""What is known of a server from its pid file, and whether to believe it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Postmaster:
    """A live server as its pid file describes it."""

    pid: int
    port: int
    socket_dir: Path
    status: str

    @property
    def is_ready(self) -> bool:
        """Whether it accepts connections."""
        return self.status == "ready"

    @property
    def socket(self) -> Path:
        """The socket it made."""
        return self.socket_dir / f".s.PGSQL.{self.port}"


def find_postmaster(data: Path) -> Postmaster | None:
    """Return the live server of `data`, never an unrelated process that got its pid."""
    described = _described(data)
    return described if described and _serves(described.pid, data) else None


def is_alive(pid: int) -> bool:
    """Whether `pid` still runs; a zombie does not."""
    return bool(_arguments(pid))


def _described(data: Path) -> Postmaster | None:
    try:
        lines = (data / "postmaster.pid").read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    lines += [""] * (8 - len(lines))  # lines follow while the server starts
    if not (lines[0].isdecimal() and lines[3].isdecimal()):
        return None
    return Postmaster(
        pid=int(lines[0]), port=int(lines[3]), socket_dir=Path(lines[4]), status=lines[7].strip()
    )


def _serves(pid: int, data: Path) -> bool:
    arguments = _arguments(pid)
    if len(arguments) == 1:  # from ps, which does not say where one argument ends
        return "postgres" in arguments[0] and f" -D {data} " in arguments[0]
    return bool(arguments) and Path(arguments[0]).name == "postgres" and str(data) in arguments


def _arguments(pid: int) -> list[str]:
    """Return the command line of `pid`, empty when it is gone or a zombie."""
    if not Path("/proc/self/cmdline").exists():
        return _arguments_from_ps(pid)
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return raw.decode(errors="surrogateescape").split("\0")[:-1]


def _arguments_from_ps(pid: int) -> list[str]:
    listed = subprocess.run(
        ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)],
        check=False,
        capture_output=True,
        text=True,
    )
    state, _, command = listed.stdout.strip().partition(" ")
    return [command] if command and not state.startswith("Z") else []
