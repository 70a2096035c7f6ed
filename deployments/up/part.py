"""What a part of the system is: how it starts, what it waits for, how one knows that it is well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

Probe = Callable[[int], Awaitable[bool]]  # takes the process id


@dataclass(frozen=True, slots=True)
class Part:
    """A child process that is kept running.

    `needs` are ready before it starts; `uses` (and `needs`) are stopped only after it.
    """

    name: str
    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    probe: Probe
    needs: Sequence[str] = ()
    uses: Sequence[str] = ()
    start_timeout_s: float = 180.0
    stop_timeout_s: float = 15.0
    quiet_until_ready: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A child process that runs once, before what needs it."""

    name: str
    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    needs: Sequence[str] = field(default=())
    timeout_s: float = 300.0
