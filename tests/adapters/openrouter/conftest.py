"""A client over a scripted transport, and a server of raw bytes for what only sockets show."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from models.pricing import TokenPrice
from tasks.adapters.openrouter import ChatCall, OpenRouterClient, Timeouts

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = "sk-or-v1-CANARY0123456789abcdef0123456789abcdef"
BASE = "https://openrouter.test/api/v1"


class Bytes(httpx.AsyncByteStream):
    """A body that arrives in the given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


@dataclass
class Scripted:
    """A client whose requests all get the same answer, and the requests it sent."""

    client: OpenRouterClient
    requests: list[httpx.Request] = field(default_factory=list)

    @property
    def sent(self) -> dict[str, Any]:
        return json.loads(self.requests[-1].content)


@pytest.fixture
def scripted() -> Callable[..., Scripted]:
    """Make a client: `scripted(status, body, headers)`; body is bytes, pieces, or a document."""

    def make(
        status: int = 200,
        body: Any = b"",
        headers: dict[str, str] | None = None,
        *,
        base: str = BASE,
        key: str | None = KEY,
    ) -> Scripted:
        pieces = body if isinstance(body, list) else [_bytes(body)]
        requests: list[httpx.Request] = []

        def respond(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            kind = {"content-type": "application/json"}
            return httpx.Response(status, headers=kind | (headers or {}), stream=Bytes(*pieces))

        wire = httpx.MockTransport(respond)
        return Scripted(OpenRouterClient(base, key, wire=wire, now=lambda: NOW), requests)

    return make


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
def call() -> ChatCall:
    return ChatCall(
        model_id="openai/gpt-4o-mini",
        messages=[{"role": "user", "content": "Summarise the quarterly report of Aardvark Ltd."}],
        max_tokens=64,
        price=TokenPrice(Decimal("0.00000015"), Decimal("0.0000006")),
    )


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Served:
    """A TCP server that says what a test tells it to; `heads` are the requests it got."""

    port: int
    heads: list[bytes]
    closed: asyncio.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Talk], Awaitable[Served]]]:
    """Start servers: `await serve(talk)`; `talk` is called once a request has been read."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(talk: Talk) -> Served:
            served = Served(0, [], asyncio.Event())
            talks: set[asyncio.Task[None] | None] = set()

            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                talks.add(asyncio.current_task())
                try:
                    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                        served.heads.append(await _read_request(reader))
                        await talk(reader, writer)
                finally:
                    served.closed.set()
                    writer.close()
                    with contextlib.suppress(ConnectionError):
                        await writer.wait_closed()

            server = await asyncio.start_server(connected, "127.0.0.1", 0)
            stack.push_async_callback(_stop, server, talks)
            served.port = server.sockets[0].getsockname()[1]
            return served

        yield start


async def _stop(server: asyncio.Server, talks: set[asyncio.Task[None] | None]) -> None:
    server.close()
    await server.wait_closed()
    for talk in talks:
        if talk is not None:
            talk.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await talk


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"),
        0,
    )
    return head + await reader.readexactly(length)


@pytest.fixture
async def quick() -> AsyncIterator[Callable[..., OpenRouterClient]]:
    """Make clients with short timeouts that really connect."""
    async with contextlib.AsyncExitStack() as stack:

        def make(url: str, *, read_s: float = 30.0, key: str | None = KEY) -> OpenRouterClient:
            client = OpenRouterClient(url, key, timeouts=Timeouts(read_s=read_s), now=lambda: NOW)
            stack.push_async_callback(client.aclose)
            return client

        yield make


def answer_document(**changes: Any) -> dict[str, Any]:
    """A whole answer as OpenRouter sends it; costs are written as JSON numbers by the tests."""
    document = {
        "id": "gen-1786988078-NGfmEgJ5Z2MYGfqmExLw",
        "provider": "OpenAI",
        "model": "openai/gpt-4o-mini",
        "object": "chat.completion",
        "created": 1786988078,
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "native_finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "Profits rose.", "refusal": None},
            }
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 4,
            "total_tokens": 24,
            "cost": 0.0000054,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }
    return document | changes


@pytest.fixture
def answer() -> Callable[..., dict[str, Any]]:
    return answer_document


@pytest.fixture
def reply(answer: Callable[..., dict[str, Any]]) -> bytes:
    """A whole answer on the wire, after which the connection is kept."""
    body = json.dumps(answer()).encode()
    head = b"HTTP/1.1 200 OK\r\nX-Generation-Id: gen-wire\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
