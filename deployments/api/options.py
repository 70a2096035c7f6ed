"""How the API is served."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options of one API process.

    `lane` is the lane of requests that name none: `flow` needs a Prefect server. `trace_sample`
    is the share of such requests that get a flow run; the rest goes through lane `ledger`.
    `requests_per_minute` bounds each caller, None is no bound; a key's own limit goes before it.
    """

    host: str = "127.0.0.1"
    port: int = 8700
    lane: Literal["flow", "ledger"] = "flow"
    trace_sample: float = 1.0
    concurrent_max: int = 256
    requests_per_minute: int | None = None
    chat_bytes_max: int = 8 * MIB
    body_bytes_max: int = MIB
    sweep_every_s: float = 15.0
    drain_s: float = 10.0

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this machine."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
