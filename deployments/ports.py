"""Ports on loopback."""

from __future__ import annotations

import socket

from models.errors import PortTaken

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


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
