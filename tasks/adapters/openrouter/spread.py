"""Spreads requests over a few connection pools.

httpcore looks at every connection of a pool, sockets included, each time a request begins or ends:
with 32 busy connections that doubles the time of a request, with 64 it trebles it. Sixteen pools of
a few connections each stay cheap.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from types import TracebackType

import httpx

POOLS = 16


class SpreadTransport(httpx.AsyncBaseTransport):
    """Sends each request through the pool with the fewest open answers.

    The limits are those of all pools together; the fewest-first rule keeps them even, so no request
    waits in a full pool while another has room.
    """

    def __init__(self, limits: httpx.Limits, *, trust_env: bool, pools: int = POOLS) -> None:
        context = httpx.create_ssl_context(trust_env=trust_env)  # reading it takes 20 ms: once
        self._pools = [
            httpx.AsyncHTTPTransport(
                verify=context, limits=_share(limits, pools), trust_env=trust_env
            )
            for _ in range(pools)
        ]
        self._open = [0] * pools

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; its answer counts as open until it is closed."""
        index = self._open.index(min(self._open))
        with contextlib.ExitStack() as place:
            self._open[index] += 1
            place.callback(self._leave, index)
            response = await self._pools[index].handle_async_request(request)
            if isinstance(response.stream, httpx.AsyncByteStream):
                response.stream = _Counted(response.stream, place.pop_all())
            return response

    def _leave(self, index: int) -> None:
        self._open[index] -= 1

    async def __aenter__(self) -> SpreadTransport:
        for pool in self._pools:
            await pool.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        for pool in self._pools:
            await pool.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._pools:
            await pool.aclose()


class _Counted(httpx.AsyncByteStream):
    """An answer's body that gives its place back when it is closed."""

    def __init__(self, body: httpx.AsyncByteStream, place: contextlib.ExitStack) -> None:
        self._body, self._place = body, place

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece

    async def aclose(self) -> None:
        self._place.close()  # a second time does nothing
        await self._body.aclose()


def _share(limits: httpx.Limits, pools: int) -> httpx.Limits:
    def share(whole: int | None) -> int | None:
        return None if whole is None else -(-whole // pools)

    return httpx.Limits(
        max_connections=share(limits.max_connections),
        max_keepalive_connections=share(limits.max_keepalive_connections),
        keepalive_expiry=limits.keepalive_expiry,
    )
