"""A child process of `switchyard up`: started, read line by line, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from deployments.up.part import Part, Step
from models.errors import WorldFailed

READ_BYTES = 64 * 1024
LINE_CHARS_MAX = 4000
TAIL_LINES = 5
KILL_WAIT_S = 5.0


class Write(Protocol):
    """Takes the lines of a process."""

    def __call__(self, part: str, line: str, *, shown: bool = True) -> None:
        """Write one line."""


class PartProcess:
    """One life of a part. Its output goes to `write`, its last lines are kept."""

    def __init__(
        self, process: asyncio.subprocess.Process, name: str, write: Write, *, shown: bool
    ) -> None:
        self.name = name
        self.shown = shown
        self.started_s = time.monotonic()
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._process = process
        self._write = write
        self._reader = asyncio.create_task(self._read())
        self._ended = asyncio.create_task(process.wait())

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group's."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.returncode

    @property
    def age_s(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self.started_s

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for its end and for its last lines; return False when the time was up first."""
        done, _ = await asyncio.wait([self._ended], timeout=timeout_s)
        if not done:
            return False
        await asyncio.wait([self._reader], timeout=1.0)  # a grandchild may hold the pipe open
        return True

    async def stop(self, timeout_s: float) -> bool:
        """Ask it to end, kill its group when it does not; return whether it ended when asked."""
        self._signal(signal.SIGTERM)
        in_time = await self.wait(timeout_s)
        if not in_time:
            self.kill()
            await self.wait(KILL_WAIT_S)
        self._reader.cancel()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return in_time

    def kill(self) -> None:
        """Kill it and its own children at once."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def end_text(self) -> str:
        """Say how it ended, with its last line if that may tell why."""
        code = self._process.returncode
        if code is None:
            return "still runs"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}" + (f": {self.tail[-1]}" if self.tail else "")

    def show(self) -> None:
        """Write its output from now on."""
        self.shown = True

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        while chunk := await self._process.stdout.read(READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-LINE_CHARS_MAX:]
            for line in lines:
                self._line(line)
        self._line(rest)

    def _line(self, raw: bytes) -> None:
        text = raw[:LINE_CHARS_MAX].decode("utf-8", "replace").rstrip()
        if not text:
            return
        self.tail.append(text.strip())
        self._write(self.name, text, shown=self.shown)


async def spawn(
    program: Part | Step, write: Write, held_fds: Sequence[int], *, shown: bool = True
) -> PartProcess:
    """Start the program in a session of its own; it ends with this process.

    The child inherits `held_fds`: as long as one of them is open, somebody of the family lives.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "deployments.child",
            program.module,
            *program.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(program.environment),
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops in order
            pass_fds=tuple(held_fds),
        )
    except OSError as error:
        raise WorldFailed(f"{program.name} cannot be started: {error.strerror}") from error
    return PartProcess(process, program.name, write, shown=shown)
