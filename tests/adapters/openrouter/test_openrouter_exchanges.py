"""Real sockets: large bodies, early, malformed and cut answers, and what is known after them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import traceback
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from models.errors import OutcomeUnknown, RequestRejected
from tasks.adapters.openrouter import Timeouts

pytestmark = pytest.mark.anyio
KEY = "sk-or-v1-CANARY0123456789"
HEAD = b"HTTP/1.1 200 OK\r\nX-Generation-Id: gen-wire\r\nContent-Type: application/json\r\n"


def big(call, size: int = 16 << 20):
    return replace(call, messages=[{"role": "user", "content": "x" * size}])


async def test_long_and_repeated_fields_of_an_answer_are_understood(serve, quick, call, reply):
    async def talk(reader, writer):
        head, _, body = reply.partition(b"\r\n\r\n")
        writer.write(head + b"\r\nX-Long: " + b"y" * 20_000 + b"\r\nX: y" * 150)
        writer.write(b"\r\nX-Latin: \xe9\r\n\r\n" + body)

    got = await quick((await serve(talk)).url).complete(call, deadline_s=10)
    assert got.content == "Profits rose."


async def test_stream_is_whole_when_its_end_came_with_the_cut(serve, quick, call):
    """The connection is gone before the body is looked at; the bill that it brought counts."""

    async def talk(reader, writer):
        chunk = {"id": "g", "model": call.model_id, "choices": [{"index": 0, "delta": {}}]}
        chunk["choices"][0] |= {"delta": {"content": "Hi"}, "finish_reason": "stop"}
        event = json.dumps(chunk | {"usage": {"cost": 0.25}}).encode()
        writer.write(HEAD.replace(b"application/json", b"text/event-stream"))
        writer.write(b"Content-Length: 99999\r\n\r\ndata: " + event + b"\n\n")

    async def wait(generation_id: str) -> None:
        await asyncio.wait_for(served.closed.wait(), 5)
        await asyncio.sleep(0.05)

    served = await serve(talk)
    stream = quick(served.url).stream(call, deadline_s=10, on_headers=wait)
    *_, last = [part async for part in stream]
    assert (last.content, last.usage.cost_usd) == ("Hi", Decimal("0.25"))


async def test_request_is_on_the_wire_as_it_was_made(serve, quick, call, reply):
    """No field is added, renamed or moved, and no URL is quoted anew."""

    async def talk(reader, writer):
        writer.write(reply.replace(b"200 OK", b"404 No", 1))

    served = await serve(talk)
    client = quick(served.url, key=KEY)
    assert await client.generation("gen/1%2F+ü") is None
    with contextlib.suppress(RequestRejected):
        await client.complete(call, deadline_s=10)
    host = f"127.0.0.1:{served.port}"
    asked, posted = (head.partition(b"\r\n\r\n") for head in served.heads)
    fields = [
        f"Host: {host}",
        "Connection: keep-alive",
        "Accept: application/json",
        "Accept-Encoding: gzip",
        "Content-Type: application/json",
        "User-Agent: switchyard",
        "X-OpenRouter-Title: Switchyard",
        f"Authorization: Bearer {KEY}",
    ]
    line = "GET /api/v1/generation?id=gen%2F1%252F%2B%C3%BC HTTP/1.1"
    assert asked[0].decode().split("\r\n") == [line, *fields]
    line, length = "POST /api/v1/chat/completions HTTP/1.1", f"Content-Length: {len(posted[2])}"
    assert posted[0].decode().split("\r\n") == [line, *fields, length]


async def test_body_of_many_mebibytes_arrives_whole(serve, quick, call, reply):
    async def talk(reader, writer):
        writer.write(reply)

    served = await serve(talk)
    await quick(served.url).complete(big(call, 3 << 20), deadline_s=30)
    assert served.heads[0].count(b"x" * 1024) == 3 << 10
    assert b"\r\nContent-Length: " in served.heads[0]
    assert b"Transfer-Encoding" not in served.heads[0]


@dataclass
class Deaf:
    """A server that reads nothing until `hears` is set, and then counts up to the end."""

    url: str = ""
    says: bytes = b""
    hears: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    bytes_read: int = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        writer.write(self.says)
        await self.hears.wait()
        writer.transport.resume_reading()
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                self.bytes_read += len(piece)
        writer.close()
        self.ended.set()


@pytest.fixture
async def deaf():
    server = Deaf()
    async with await asyncio.start_server(server.connected, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        yield server
        server.hears.set()
        await asyncio.wait_for(server.ended.wait(), 5)


async def test_outcome_is_unknown_when_the_upstream_does_not_take_the_body(deaf, quick, call):
    client = quick(deaf.url)
    client._timeouts = Timeouts(write_s=0.2)
    with pytest.raises(OutcomeUnknown, match="WriteTimeout"):
        await client.complete(big(call), deadline_s=30)


async def test_cancelling_drops_what_was_not_yet_sent(deaf, quick, call):
    task = asyncio.ensure_future(quick(deaf.url).complete(big(call), deadline_s=60))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deaf.hears.set()
    await asyncio.wait_for(deaf.ended.wait(), 5)
    assert deaf.bytes_read < 12 << 20  # of 16; the system's buffers hold the rest


async def test_leaving_an_early_answer_drops_what_was_not_yet_sent(deaf, quick, call):
    deaf.says = HEAD.replace(b"application/json", b"text/event-stream") + b"\r\n"
    deaf.says += b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
    stream = quick(deaf.url).stream(big(call), deadline_s=60)
    assert (await anext(stream)).content == "Hi"
    await stream.aclose()
    deaf.hears.set()
    await asyncio.wait_for(deaf.ended.wait(), 5)
    assert deaf.bytes_read < 12 << 20


async def test_refusal_is_read_when_it_comes_before_the_body_has_gone(quick, call):
    ended = asyncio.Event()

    async def connected(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        ended.set()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        with pytest.raises(RequestRejected) as caught:
            await quick(url).complete(big(call), deadline_s=30)
        await asyncio.wait_for(ended.wait(), 5)
    assert caught.value.status == 413


MALFORMED = {
    "no HTTP": b"nonsense\r\n\r\n",
    "a status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: x\r\n\r\n{}",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a field without a colon": HEAD + b"nonsense\r\n\r\n{}",
    "an endless field": HEAD + b"X: " + b"y" * 200_000 + b"\r\n\r\n{}",
    "too many fields": HEAD + b"X: y\r\n" * 5_000 + b"\r\n{}",
    "a chunk that is none": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{ \r\nzz\r\n}\r\n0\r\n\r\n",
    "a chunk that is cut": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
    "a protocol that was not asked for": b"HTTP/1.1 101 No\r\nUpgrade: h2c\r\n\r\n",
}


def causes(error: BaseException | None):
    while error is not None:
        yield error
        error = error.__cause__


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED.keys())
async def test_outcome_is_unknown_when_the_answer_is_malformed(serve, quick, call, said):
    async def talk(reader, writer):
        writer.write(said)
        await writer.drain()

    served = await serve(talk)
    with pytest.raises((OutcomeUnknown, RequestRejected)) as caught:
        await quick(served.url, key=KEY).complete(call, deadline_s=10)
    assert isinstance(caught.value, OutcomeUnknown) or said.startswith(b"HTTP/1.1 101")
    assert len(served.heads) == 1
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert "CANARY" not in "".join(map(repr, causes(caught.value)))
