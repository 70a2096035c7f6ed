"""Sends requests to the configured host, and turns every way to fail on the wire into a leaf."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from models.errors import NeverSent, OutcomeUnknown
from tasks.adapters.openrouter.inflate import Inflater, UndecodableBody

LOG = logging.getLogger(__name__)
TRIES_MAX = 3
RETRY_WAIT_S = 0.2  # full jitter: between 0 and 0.2, then 0 and 0.4 seconds
RETRY_WAIT_S_MAX = 2.0
# No byte of the request has left when one of these is raised. A proxy's refusal is one of them:
# it answers the CONNECT, before the upstream is reached.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of each phase, in seconds; the call's deadline bounds their sum.

    `read_s` is the longest silence before and inside an answer.
    """

    connect_s: float = 10.0
    pool_s: float = 10.0
    write_s: float = 30.0
    read_s: float = 120.0


class Progress:
    """Whether a byte of the request may have left; the transport says so when it knows better."""

    def __init__(self) -> None:
        self.may_have_left = True


@dataclass(frozen=True, slots=True)
class Order:
    """One request to send before `until`, which is a time of the event loop's clock."""

    method: str
    url: str
    headers: Mapping[str, str]
    until: float
    read_s: float
    content: bytes | None = None
    params: Mapping[str, str] | None = None


class Answer:
    """An answer whose headers have arrived; the body is read piece by piece, decoded, bounded."""

    def __init__(self, response: httpx.Response, until: float) -> None:
        self._response = response
        self.until = until
        self.status = response.status_code
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.generation_id = _generation_id(self.headers)

    @property
    def content_type(self) -> str:
        """The media type, without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def read(self, bytes_max: int) -> bytes:
        """Return the whole body; raises OutcomeUnknown when it is cut, late or past the cap."""
        pieces = [piece async for piece in self.pieces(bytes_max)]
        return b"".join(pieces)

    async def pieces(self, bytes_max: int) -> AsyncGenerator[bytes, None]:
        """Yield the decoded body in pieces of at most 64 KiB; raises OutcomeUnknown."""
        seen = 0
        try:
            decoded = self._response.is_stream_consumed  # a mock transport has read it already
            inflater = Inflater("" if decoded else self.headers.get("content-encoding", ""))
            async for raw in self._raw():
                for piece in inflater.feed(raw):
                    seen += len(piece)
                    if seen > bytes_max:
                        raise self._unknown(f"the answer is larger than {bytes_max} bytes")
                    yield piece
        except UndecodableBody as error:
            raise self._unknown(str(error)) from error

    async def _raw(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes over the wire."""
        if self._response.is_stream_consumed:
            yield self._response.content
            return
        chunks = self._response.aiter_raw()
        seen = 0
        while True:
            try:
                async with asyncio.timeout_at(self.until):
                    chunk = await anext(chunks, None)
            except httpx.TimeoutException as error:
                raise self._unknown(f"silence in the answer after {seen} bytes") from error
            except TimeoutError as error:
                raise self._unknown(f"deadline passed after {seen} bytes of answer") from error
            except (httpx.TransportError, OSError) as error:
                raise self._unknown(f"the answer was cut after {seen} bytes") from error
            if chunk is None:
                return
            seen += len(chunk)
            yield chunk

    def _unknown(self, text: str) -> OutcomeUnknown:
        return OutcomeUnknown(text, self.status, generation_id=self.generation_id)

    async def close(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        with contextlib.suppress(httpx.TransportError, OSError):  # what it brought is decided
            await self._response.aclose()


@contextlib.asynccontextmanager
async def opened(
    wire: httpx.AsyncBaseTransport, order: Order, timeouts: Timeouts
) -> AsyncIterator[Answer]:
    """Send the order, up to three times while nothing has left; close the answer at the end.

    Raises NeverSent when no connection came about, OutcomeUnknown when bytes may have left.
    """
    left_s = order.until - asyncio.get_running_loop().time()
    if left_s <= 0:
        raise NeverSent("the deadline had passed before sending")
    try:
        response = await _send(wire, order, timeouts)
    except NeverSent as failure:
        response = await _sent_again(failure, wire, order, timeouts)
    answer = Answer(response, order.until)
    try:
        yield answer
    finally:
        await answer.close()


async def _sent_again(
    failure: NeverSent, wire: httpx.AsyncBaseTransport, order: Order, timeouts: Timeouts
) -> httpx.Response:
    """Go on after a first try that failed; apart from it, because tenacity costs 0.1 ms a call."""
    failures = [failure]

    async def tried() -> httpx.Response:
        if failures:
            raise failures.pop()
        return await _send(wire, order, timeouts)

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(NeverSent),
        wait=wait_random_exponential(multiplier=RETRY_WAIT_S, max=RETRY_WAIT_S_MAX),
        stop=stop_after_attempt(TRIES_MAX)
        | stop_before_delay(order.until - asyncio.get_running_loop().time()),
        before_sleep=_log_retry,
        reraise=True,
    )
    response: httpx.Response = await retrying(tried)
    return response


async def _send(wire: httpx.AsyncBaseTransport, order: Order, timeouts: Timeouts) -> httpx.Response:
    progress = Progress()
    request = _request(order, timeouts, progress)
    try:
        async with asyncio.timeout_at(order.until):
            return await wire.handle_async_request(request)
    except NEVER_SENT as error:
        raise NeverSent(f"no connection to {request.url.host}: {_why(error)}") from error
    except httpx.TimeoutException as error:
        raise OutcomeUnknown(f"silence before the answer: {_why(error)}") from error
    except TimeoutError as error:
        text = "deadline passed before the answer"
        raise (OutcomeUnknown if progress.may_have_left else NeverSent)(text) from error
    except (httpx.TransportError, OSError) as error:
        raise OutcomeUnknown(f"the connection broke: {_why(error)}") from error


def _request(order: Order, timeouts: Timeouts, progress: Progress) -> httpx.Request:
    """Make the request; the HTTP client's own way, with its defaults, takes thrice the time."""
    left_s = order.until - asyncio.get_running_loop().time()
    early_s = max(0.001, left_s * 0.9)  # so that "never sent" is told before the deadline strikes
    timeout = {
        "connect": min(timeouts.connect_s, early_s),
        "pool": min(timeouts.pool_s, early_s),
        "write": timeouts.write_s,
        "read": order.read_s,
    }
    return httpx.Request(
        order.method,
        _url(order.url),
        headers=order.headers,
        content=order.content,
        params=order.params,
        extensions={"timeout": timeout, "progress": progress},
    )


@functools.lru_cache(maxsize=64)
def _url(text: str) -> httpx.URL:
    return httpx.URL(text)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    LOG.warning("upstream not reached, try %d of %d: %s", state.attempt_number, TRIES_MAX, error)


def _why(error: Exception) -> str:
    """Name the fault and, from a connection that failed, the system's short reason."""
    text = str(error) if isinstance(error, NEVER_SENT) else ""
    return f"{type(error).__name__}: {text}"[:150] if text else type(error).__name__


def _generation_id(headers: Mapping[str, str]) -> str | None:
    value = headers.get("x-generation-id", "").strip()
    usable = value.isascii() and value.isprintable() and 0 < len(value) <= 200
    return value if usable else None
