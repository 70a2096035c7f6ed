"""Which process a worker is, so that another one can tell when it is gone."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from deployments.up_file import process_started_at

FIELDS = 4


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that no later one can be mistaken for, whatever its pid.

    `space` stands for one boot of one machine and its pid namespace: within it a pid can be
    looked up, outside of it only the heartbeat tells.
    """

    host: str
    pid: int
    started: str
    space: str

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started}:{self.space}"

    def is_known_dead(self, here: ProcessIdentity) -> bool:
        """Return True when this process ran beside `here` and does no longer."""
        if (self.host, self.space) != (here.host, here.space):
            return False
        return process_started_at(self.pid) != self.started


def this_process() -> ProcessIdentity:
    """Return the identity of the running process."""
    pid = os.getpid()
    return ProcessIdentity(
        socket.gethostname().replace(":", "-"), pid, process_started_at(pid) or "0", _space()
    )


def parse_identity(worker_name: str) -> ProcessIdentity | None:
    """Return the identity that ends a warm worker's name, else None."""
    fields = worker_name.rpartition(" ")[2].split(":")
    if len(fields) != FIELDS or not fields[1].isdecimal():
        return None
    return ProcessIdentity(fields[0], int(fields[1]), fields[2], fields[3])


def _space() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux: one machine is taken for one space
        boot, namespace = socket.gethostname(), ""
    return hashlib.sha256(f"{boot}{namespace}".encode()).hexdigest()[:8]
