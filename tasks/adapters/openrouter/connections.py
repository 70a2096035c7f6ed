"""The connections to the upstream: how many, how long idle, and when a request begins to leave."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import select
import ssl
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from tasks.adapters.openrouter.transport import Progress


class Flight:
    """One request on its way: what is known of it, and the connection that it got."""

    def __init__(self, progress: Progress, pool_s: float | None) -> None:
        self.progress, self.pool_s = progress, pool_s
        self._transport: asyncio.Transport | None = None
        progress.may_have_left = False

    def departs(self, transport: asyncio.Transport | None) -> None:
        """Note that there is a connection: from now on a byte may have left."""
        self.progress.may_have_left = True
        self._transport = transport

    def abort(self) -> None:
        """Drop the connection at once, with whatever was not yet sent."""
        if self._transport is not None:
            self._transport.abort()


FLIGHT: ContextVar[Flight] = ContextVar("flight")  # aiohttp hands nothing of ours to its connector


class Connections(aiohttp.TCPConnector):
    """aiohttp's pool, with httpx's limits, and a look at a kept connection before it is used.

    Whatever it costs is per request, whoever else is under way: with 200 busy connections a request
    is as cheap as alone.
    """

    def __init__(self, limits: httpx.Limits, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            ssl=True if tls is None else tls,
            limit=0,  # places are given out here, so that waiting for one has its own bound
            keepalive_timeout=limits.keepalive_expiry,
            resolver=aiohttp.ThreadedResolver(),  # not another where aiodns happens to be installed
        )
        self._places = asyncio.Semaphore(limits.max_connections or 1_000_000)
        self._idle_max = limits.max_keepalive_connections
        # those closed meanwhile are dropped when it is full
        self._idle: set[ResponseHandler] = set()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature is aiohttp's
    ) -> Connection:
        """Return a connection for the current flight; nothing of the request leaves before."""
        flight = FLIGHT.get()
        await self._take_place(flight.pool_s)
        with contextlib.ExitStack() as place:
            place.callback(self._places.release)
            connection = await self._sound(functools.partial(super().connect, req, traces, timeout))
            place.pop_all()  # from here on it goes with the connection
        if connection.protocol is not None:  # it always has one: the type allows for a closed one
            connection.add_callback(functools.partial(self._leave, connection.protocol))
        flight.departs(connection.transport)
        return connection

    async def _take_place(self, pool_s: float | None) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(pool_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout("every connection is busy") from error

    async def _sound(self, connect: Callable[[], Awaitable[Connection]]) -> Connection:
        """Pass over kept connections that the upstream has closed, even if we did not hear yet."""
        while True:
            connection = await connect()
            if connection.protocol is None or connection.protocol not in self._idle:
                return connection
            self._idle.discard(connection.protocol)
            if not _has_something_to_read(connection.transport):
                return connection
            connection.close()

    def _leave(self, protocol: ResponseHandler) -> None:
        """Give the place to the next; called just before the connection is kept or closed."""
        self._places.release()
        if self._idle_max is not None and len(self._idle) >= self._idle_max:
            self._idle = {one for one in self._idle if one.is_connected()}
            if len(self._idle) >= self._idle_max:
                protocol.force_close()
                return
        self._idle.add(protocol)


def _has_something_to_read(transport: asyncio.Transport | None) -> bool:
    """Whether an idle connection brings anything: its end, or what no one asked for."""
    if transport is None:
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))
