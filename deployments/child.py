"""Child processes that end with their parent, whatever ends the parent.

`python -m deployments.child MODULE ARGS...` runs MODULE and watches standard input, a pipe whose
other end only the parent holds: it closes even when the parent is killed with -9.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from models.errors import DiskFull

STOP_TIMEOUT_S = 15.0
ORPHAN_LIMIT_S = 60.0  # a worker takes up to 55 s to bring its runs home


@contextlib.contextmanager
def running_child(
    module: str, arguments: Sequence[str], *, environment: Mapping[str, str], log_file: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module as a child in its own session; stop it with SIGTERM, at last SIGKILL.

    Its output goes to `log_file`, begun anew. Raises DiskFull when the log cannot be written.
    """
    process = start_child(module, arguments, environment=environment, log_file=log_file)
    try:
        yield process
    finally:
        stop_child(process)


def start_child(
    module: str, arguments: Sequence[str], *, environment: Mapping[str, str], log_file: Path
) -> subprocess.Popen[bytes]:
    """Start the child and return it; the caller stops it with `stop_child`."""
    try:
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log_file.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "deployments.child", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops in order
            )
    except OSError as error:
        raise DiskFull(f"cannot write {str(log_file)!r}: {error.strerror}") from error


def stop_child(process: subprocess.Popen[bytes], timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Ask the child to end, wait, and kill it when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def log_tail(log_file: Path, lines: int = 5) -> str:
    """Return the last lines of a child's log, for an error text."""
    if not log_file.exists():
        return "(no log)"
    text = log_file.read_text(encoding="utf-8", errors="replace")
    return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())


def end_with_parent() -> None:
    """Send SIGTERM to this process when standard input closes."""
    watcher = threading.Thread(target=_wait_for_parent, name="end-with-parent", daemon=True)
    watcher.start()


def _wait_for_parent() -> None:
    # os.read, not sys.stdin: a buffered read would hold a lock at interpreter shutdown.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_LIMIT_S)
    os._exit(1)  # it hangs, and nobody is left to kill it


def main() -> None:
    """Run the named module as `__main__` under the watch."""
    end_with_parent()
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
