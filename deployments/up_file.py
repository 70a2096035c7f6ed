"""`$SWITCHYARD_HOME/up.json`: where the running system is, for commands that use it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_serializer

from models.errors import DiskFull

NAME = "up.json"


class UpFile(BaseModel):
    """The running system: its process, when that started, and its addresses."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    started_at: str
    database_url: SecretStr
    prefect_api_url: str
    simulator_url: str | None = None
    api_url: str | None = None

    @field_serializer("database_url", when_used="json")
    def _open_secret(self, value: SecretStr) -> str:
        return value.get_secret_value()


def write_up_file(home: Path, up: UpFile) -> None:
    """Write the file whole or not at all, readable by its owner only: it holds a password."""
    path, draft = home / NAME, home / f".{NAME}.{os.getpid()}"
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(up.model_dump_json(indent=2))
        draft.replace(path)
    except OSError as error:
        raise DiskFull(f"cannot write {str(path)!r}: {error.strerror}") from error


def read_up_file(home: Path) -> UpFile | None:
    """Return the running system, or None when none runs: a stale file is ignored."""
    try:
        up = UpFile.model_validate(json.loads((home / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None
    return up if process_started_at(up.pid) == up.started_at else None


def remove_up_file(home: Path) -> None:
    """Remove the file if it is this process's own."""
    up = read_up_file(home)
    if up is not None and up.pid == os.getpid():
        (home / NAME).unlink(missing_ok=True)


def process_started_at(pid: int) -> str | None:
    """Return a text that tells this process from a later one of the same id; None when gone.

    Linux: start time in clock ticks since boot, field 22 of /proc/PID/stat. Elsewhere "alive".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return None
    return None if Path("/proc/self").exists() else "alive"
