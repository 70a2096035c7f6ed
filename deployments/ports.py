"""Ports on loopback."""

from __future__ import annotations

import contextlib
import random
import socket

from models.errors import PortTaken

LOOPBACK = "127.0.0.1"


# Below the range that Linux gives to outgoing connections (32768 to 60999): such a port could be
# taken between the look and the use, which for a Prefect server are seconds apart.
RANGE = range(20_000, 32_000)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    for port in random.sample(RANGE, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    raise PortTaken(f"no port of {LOOPBACK} is free between {RANGE.start} and {RANGE.stop}")


def demand_free(port: int, *, host: str = LOOPBACK) -> int:
    """Return the port, 0 standing for any free one; raise PortTaken when somebody listens on it."""
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(f"port {port} on {host} cannot be used: {error.strerror}") from error
    return port
