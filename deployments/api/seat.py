"""The place of a process among those that share a port, and its server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import uvicorn

from deployments.api.gate import Counts

READY, TAKEN, LEAVING = b"R", b"T", b"L"  # what the process tells its parent
CONNECTION, LAST = b"C", b"E"  # what the parent sends: a connection, or that none will follow
LAST_TIMEOUT_S = 2.0
HEAD_TIME_S = 0.1  # a client that has just come has its request on the way
logger = logging.getLogger("switchyard.api")


class FleetCounts(Counts, Protocol):
    """Counts of all processes."""

    def tell_ended(self, connections: int) -> None:
        """Say how many of the connections handed to this process have ended."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where connections come from, and what is shared; `metrics` is the folder of all counters."""

    url: str
    door: socket.socket
    counts: FleetCounts
    metrics: str


class Server(uvicorn.Server):
    """uvicorn without signal handlers: the process around it decides when to end."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so once it answers."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Leave the signals alone."""
        return contextlib.nullcontext()


class SeatedServer(Server):
    """Serves connections that its parent has accepted."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None], seat: Seat) -> None:
        super().__init__(config, on_started)
        self._seat = seat
        self._no_more = asyncio.Event()
        self._taken = 0
        self._opening: set[asyncio.Task[object]] = set()
        seat.door.setblocking(False)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections from now on."""
        await self.lifespan.startup()
        self.servers = []
        asyncio.get_running_loop().add_reader(self._seat.door, self._take)
        self._seat.door.send(READY)
        self.started = True
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Tell the parent how many connections have ended, ten times a second."""
        still = len(self.server_state.connections) + len(self._opening)
        self._seat.counts.tell_ended(max(0, self._taken - still))
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take the connections that are under way, then none; let requests come to their end."""
        with contextlib.suppress(OSError, TimeoutError):
            self._seat.door.send(LEAVING)
            await asyncio.wait_for(self._no_more.wait(), LAST_TIMEOUT_S)
        asyncio.get_running_loop().remove_reader(self._seat.door)
        await asyncio.sleep(HEAD_TIME_S)
        await super().shutdown(sockets)

    def _take(self) -> None:
        try:
            word, handles, _, _ = socket.recv_fds(self._seat.door, 1, 1)
        except BlockingIOError:
            return
        except OSError:
            word, handles = b"", []
        for handle in handles:
            self._taken += 1
            with contextlib.suppress(OSError):  # the parent is gone
                self._seat.door.send(TAKEN)  # before a byte of it is read
            self._open(socket.socket(fileno=handle))
        if word in (LAST, b""):
            self._no_more.set()
            asyncio.get_running_loop().remove_reader(self._seat.door)

    def _open(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        opening = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Task[object]) -> None:
        self._opening.discard(opening)
        if not opening.cancelled() and (failure := opening.exception()) is not None:
            logger.info("a connection ended before it began: %s", failure)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made
