"""The parent's side of one API process: its lives, and the connections handed to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import replace

from deployments.api.seat import CONNECTION, LAST, LEAVING, READY, TAKEN
from deployments.fleet.counts import SharedCounts
from deployments.fleet.order import Order

PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)
QUICK_DEATH_S = 30.0
WORDS_MAX = 4096
LAST_WORDS_S = 5.0  # from the closed door to the end of the process


class Place:
    """One of the processes; when it dies another one takes the place, after a pause that grows."""

    def __init__(self, order: Order, counts: SharedCounts) -> None:
        self._order, self._counts = order, counts
        self._process: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None
        self._handed = self._quick_deaths = 0
        self._on_the_way: deque[socket.socket] = deque()
        self._began_s = self._again_at_s = 0.0
        self.is_open = False
        self.was_ready = False

    @property
    def name(self) -> str:
        """How it is called in the log."""
        return f"API process {self._order.number + 1}"

    @property
    def door(self) -> socket.socket | None:
        """Where it is heard; None while there is no process."""
        return self._door

    @property
    def load(self) -> int:
        """Return how many connections it has open, as far as is known."""
        return self._handed - self._counts.ended(self._order.number)

    def start(self) -> socket.socket:
        """Start a process and return its door."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        order = replace(self._order, door_fd=theirs.fileno())
        command = ["-m", "deployments.child", "deployments.fleet.member", order.written()]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.PIPE,  # closes with this process, however that ends
                env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": order.metrics},
                pass_fds=(order.door_fd, order.counts_fd),
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops in order
            )
        self._door, self._handed, self._began_s = ours, 0, time.monotonic()
        return ours

    def is_due(self) -> bool:
        """Return whether there is no process and the pause is over."""
        return self._process is None and time.monotonic() >= self._again_at_s

    def take(self, connection: socket.socket) -> bool:
        """Hand over a connection, which then is ours to close; return whether that went well.

        It is kept until the process says that it has it: a process that is being killed takes
        everything and reads nothing.
        """
        if self._door is None or not self.is_open:
            return False
        try:
            socket.send_fds(self._door, [CONNECTION], [connection.fileno()])
        except OSError:  # it is dead or does not come to read: another one may
            return False
        self._handed += 1
        self._on_the_way.append(connection)
        return True

    def hear(self) -> bool:
        """Take what the process says; return False when it has ended."""
        assert self._door is not None
        try:
            words = self._door.recv(WORDS_MAX)
        except OSError:
            words = b""
        for _ in range(words.count(TAKEN)):
            self._on_the_way.popleft().close()
        if READY in words:
            self.is_open = self.was_ready = True
        if LEAVING in words:
            self.close()
        return words != b""

    def close(self) -> None:
        """Hand it nothing more."""
        self.is_open = False
        if self._door is not None:
            with contextlib.suppress(OSError):
                self._door.send(LAST)

    def untaken(self) -> list[socket.socket]:
        """Return the connections that nobody has read from, for another process."""
        left = list(self._on_the_way)
        self._on_the_way.clear()
        return left

    def bury(self) -> tuple[str, float]:
        """Take note of the end; return how it came, and the pause before the next process."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_WORDS_S)
        ended = self._end()
        lived_s = time.monotonic() - self._began_s
        self._quick_deaths = self._quick_deaths + 1 if lived_s < QUICK_DEATH_S else 1
        pause_s = PAUSES_S[min(self._quick_deaths, len(PAUSES_S)) - 1]
        self._again_at_s = time.monotonic() + pause_s
        return ended, pause_s

    def ask_to_end(self) -> None:
        """Hand it nothing more, and let it come to its end."""
        self.close()
        if self._process is not None:
            self._process.terminate()

    def wait(self, until_s: float) -> None:
        """Wait for its end, and kill it when that does not come in time."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, until_s - time.monotonic()))
        self._end()

    def _end(self) -> str:
        assert self._process is not None and self._door is not None
        process, self._process = self._process, None
        self.is_open = False
        self._door.close()
        self._door = None
        process.kill()  # nothing when it has ended
        code = process.wait()
        assert process.stdin is not None
        process.stdin.close()
        self._counts.forget(self._order.number)
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"
