"""Sends httpx's requests through aiohttp, whose parser is compiled: a third of the work a call."""

from __future__ import annotations

import asyncio
import functools
import math
import ssl
from collections.abc import AsyncIterator

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from tasks.adapters.openrouter.base_url import BaseUrl
from tasks.adapters.openrouter.connections import FLIGHT, Connections, Flight
from tasks.adapters.openrouter.proxy import proxy_of_environment
from tasks.adapters.openrouter.transport import Progress

FIELD_BYTES_MAX = 32 * 1024  # of a line of an answer's head; aiohttp's own 8 KiB are tight
FIELDS_MAX = 256
# Whatever aiohttp raises, and what it lets through of the system, the parser and bad values.
FAULTS = (aiohttp.ClientError, HttpProcessingError, aiohttp.EofStream, OSError, ValueError)


def wire_for(base: BaseUrl, limits: httpx.Limits) -> WireTransport:
    """Make the transport to one upstream; raises InvalidConfiguration for an unusable proxy."""
    tls = proxy = None
    if not base.plain:
        tls, proxy = httpx.create_ssl_context(), proxy_of_environment(base.host)
        tls.set_alpn_protocols(["http/1.1"])
    return WireTransport(limits, tls=tls, proxy=proxy)


class WireTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over one pool of connections.

    Nothing is followed, stored, decoded or read from the environment here. `tls` is how https is
    verified, `proxy` is where all of it goes, by CONNECT. Its session belongs to the running event
    loop and is made there; a later loop gets its own.
    """

    def __init__(
        self, limits: httpx.Limits, *, tls: ssl.SSLContext | None, proxy: httpx.Proxy | None = None
    ) -> None:
        self._limits, self._tls = limits, tls
        self._proxy = None if proxy is None else URL(str(proxy.url))  # without user and password
        self._proxy_headers = None if proxy is None else _proxy_headers(proxy)
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; raises leaves of httpx.TransportError.

        ConnectError, ConnectTimeout, PoolTimeout and ProxyError say that no byte of it has left,
        and no other leaf says so.
        """
        await request.aread()
        session = await self._session_here()
        timeouts = request.extensions.get("timeout", {})
        flight = Flight(request.extensions.get("progress") or Progress(), timeouts.get("pool"))
        token, answer = FLIGHT.set(flight), None
        try:
            answer = await session.request(
                request.method,
                _url(str(request.url)),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                data=_Content(request.content, timeouts.get("write")) if request.content else None,
                allow_redirects=False,
                timeout=_timeout(timeouts.get("connect"), timeouts.get("read")),
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
            )
        except FAULTS as error:
            # an answer's error shows the request's headers, key and all: leave it out of the chain
            cause = error.__cause__ if isinstance(error, aiohttp.ClientResponseError) else error
            raise (_lost if flight.progress.may_have_left else _not_sent)(error) from cause
        finally:
            FLIGHT.reset(token)
            if answer is None:
                flight.abort()
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def _session_here(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            await self.aclose()
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=Connections(self._limits, self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                max_line_size=FIELD_BYTES_MAX,
                max_field_size=FIELD_BYTES_MAX,
                max_headers=FIELDS_MAX,
            )
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # what was aborted is only now taken from the loop


class _Content(aiohttp.Payload):
    """A request's body, to be taken by the upstream within `write_s`."""

    def __init__(self, content: bytes, write_s: float | None) -> None:
        super().__init__(content)
        self._content, self._write_s = content, write_s

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self._content)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text."""
        return self._content.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it; raises TimeoutError."""
        async with asyncio.timeout(self._write_s):
            await writer.write(self._content)


class _Body(httpx.AsyncByteStream):
    """An answer's body; left before its end, its connection is dropped at once."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        try:
            while piece := await content.readany():
                yield piece
        except FAULTS as error:
            if piece := _left_over(content):
                yield piece
            raise _lost(error) from error

    async def aclose(self) -> None:
        connection = self._answer.connection  # None once the body has come whole
        transport = None if connection is None else connection.transport
        self._answer.close()
        if transport is not None:
            transport.abort()


def _left_over(content: aiohttp.StreamReader) -> bytes:
    """Return what had come before the fault: aiohttp keeps it back, but it may hold the bill."""
    content.set_exception(None)  # type: ignore[arg-type]  # that is, none
    return content.read_nowait()


def _not_sent(error: Exception) -> httpx.TransportError:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return httpx.ProxyError(f"the proxy answered {error.status}")
    if isinstance(error, TimeoutError):
        return httpx.ConnectTimeout("no connection in time")
    text = str(error.__cause__ or type(error).__name__)  # the system's words, without ours
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return httpx.ProxyError(text)
    return httpx.ConnectError(text)


def _lost(error: Exception) -> httpx.TransportError:
    name = type(error).__name__
    if isinstance(error, aiohttp.SocketTimeoutError):
        return httpx.ReadTimeout(name)
    if isinstance(error, TimeoutError):
        return httpx.WriteTimeout(name)
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return httpx.ReadError(name)
    return httpx.RemoteProtocolError(name)


@functools.lru_cache(maxsize=64)
def _url(text: str) -> URL:
    return URL(text, encoded=True)  # as it is: httpx has quoted it


@functools.lru_cache(maxsize=64)
def _timeout(connect_s: float | None, read_s: float | None) -> aiohttp.ClientTimeout:
    """Return bounds that are kept exactly: by itself aiohttp rounds them up to whole seconds."""
    return aiohttp.ClientTimeout(connect=connect_s, sock_read=read_s, ceil_threshold=math.inf)


def _proxy_headers(proxy: httpx.Proxy) -> dict[str, str]:
    headers = dict(proxy.headers)
    if proxy.auth is not None:
        headers["Proxy-Authorization"] = aiohttp.encode_basic_auth(*proxy.auth)
    return headers
