"""The edge of a process: signals and errors become one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from models.errors import SwitchyardError

INTERRUPTED = 130
TERMINATED = 143
SIGNALS = (signal.SIGINT, signal.SIGTERM)
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_terminations: list[int] = []


def run_to_exit(command: Callable[[], int]) -> NoReturn:
    """Run the command and end the process with its exit code.

    SIGTERM unwinds the stack as Ctrl-C does: by default it would end the process at once and
    leave the embedded PostgreSQL running.
    """
    signal.signal(signal.SIGTERM, _unwind)
    try:
        code = command()
    except KeyboardInterrupt:
        code = _interrupted()
    except SwitchyardError as error:
        code = complain(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        code = complain(f"no space left on the device: {error.filename or 'disk full'}", 1)
    except BaseException as error:
        # Prefect's own SIGTERM handler raises this during a flow run; importing it takes seconds
        if type(error).__name__ != "TerminationSignal":
            raise
        _terminations.append(signal.SIGTERM)
        code = _interrupted()
    for number in SIGNALS:  # all is stopped: a key pressed once more must not change the code
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def complain(problem: str, code: int) -> int:
    """Say what is wrong, on one line whatever the text holds, and return the exit code."""
    sys.stderr.write(f"switchyard: {' '.join(problem.split())}\n")
    return code


def _unwind(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does here and now: asyncio cancels its main task, the rest is interrupted."""
    _terminations.append(number)
    interrupt = signal.getsignal(signal.SIGINT)
    if not callable(interrupt):  # a shell's background job ignores SIGINT
        raise KeyboardInterrupt
    interrupt(signal.SIGINT, frame)


def _interrupted() -> int:
    sys.stderr.write("terminated\n" if _terminations else "interrupted\n")
    return TERMINATED if _terminations else INTERRUPTED


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Finish the block whatever is pressed: an interrupted stop would leave processes behind."""
    if threading.current_thread() is not threading.main_thread():  # only that is interrupted
        yield
        return
    with hearing_signals(_ask_for_patience):
        yield


@contextlib.contextmanager
def hearing_signals(hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM do this for a while; only the main thread may."""
    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask_for_patience(number: int, frame: FrameType | None) -> None:
    sys.stderr.write("stopping what was started, a moment\n")
