"""Set up `.venv` from the lock; runs on any Python >= 3.11 with nothing installed.

`python3 deployments/bootstrap.py [dev]`: does nothing when the lock has not changed, and lets one
process at a time in, so that two `make demo` at once are safe.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "switchyard-lock"
PYTHON = VENV / "bin" / "python"
UV = VENV / "uv" / "bin" / "uv"
PYTHON_MIN = (3, 11)


def main() -> None:
    """Make or update the environment; the last line says how to mend what failed."""
    if sys.version_info < PYTHON_MIN:
        sys.exit(f"switchyard needs Python 3.11 or later; this is {sys.version.split()[0]}")
    wanted = "dev" if "dev" in sys.argv[1:] else "run"
    VENV.mkdir(exist_ok=True)
    with (VENV / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(wanted):
            _install(wanted)


def _is_current(wanted: str) -> bool:
    """Return whether what is installed covers what is wanted; dev covers run."""
    if not STAMP.exists() or not PYTHON.exists():
        return False
    return STAMP.read_text() in {f"{kind} {_digest(kind)}" for kind in {wanted, "dev"}}


def _digest(kind: str) -> str:
    digest = hashlib.sha256(str(ROOT).encode() + (ROOT / "pyproject.toml").read_bytes())
    digest.update(_lock(kind).read_bytes())
    return digest.hexdigest()


def _lock(kind: str) -> Path:
    return ROOT / ("requirements-dev.lock" if kind == "dev" else "requirements.lock")


def _install(kind: str) -> None:
    sys.stderr.write(f"setting up .venv from {_lock(kind).name} ...\n")
    STAMP.unlink(missing_ok=True)
    venv.create(VENV, with_pip=True, symlinks=True)
    if not UV.exists():
        # uv installs the lock in seconds where pip takes over a minute; it stands beside the
        # environment, because a sync removes what the lock does not name
        _run(
            PYTHON,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
            UV.parent.parent,
            "uv",
        )
    # the tests start hundreds of processes, each of which would compile Prefect where the
    # environment says PYTHONDONTWRITEBYTECODE
    compiled = ["--compile-bytecode"] if kind == "dev" else []
    options = ["--quiet", "--python", PYTHON, "--require-hashes", *compiled]
    _run(UV, "pip", "sync", *options, _lock(kind))
    _run(UV, "pip", "install", "--quiet", "--python", PYTHON, "--no-deps", "--editable", ROOT)
    STAMP.write_text(f"{kind} {_digest(kind)}")


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"switchyard: set-up failed at: {' '.join(str(part) for part in command)}")


if __name__ == "__main__":
    main()
