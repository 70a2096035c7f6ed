"""Real sockets: bounds of memory, leaving early, connections used again, and clean logs."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import resource
import zlib

import pytest

from models.errors import OutcomeUnknown
from tasks.adapters.openrouter import Timeouts, open_client
from tasks.adapters.redaction import quiet_http_logging

pytestmark = pytest.mark.anyio
HEAD = b"HTTP/1.1 200 OK\r\nX-Generation-Id: gen-wire\r\nConnection: close\r\n"
JSON_HEAD = HEAD + b"Content-Type: application/json\r\n"
SSE_HEAD = HEAD + b"Content-Type: text/event-stream\r\n\r\n"


async def says(writer: asyncio.StreamWriter, *parts: bytes) -> None:
    for part in parts:
        writer.write(part)
        await writer.drain()


async def forever(reader: asyncio.StreamReader) -> None:
    """Wait until the other side closes."""
    await reader.read()


async def test_outcome_is_unknown_when_the_body_is_shorter_than_announced(
    serve, quick, call, answer
):
    async def talk(reader, writer):
        body = json.dumps(answer()).encode()
        await says(writer, JSON_HEAD + b"Content-Length: 9999\r\n\r\n", body)

    client = quick((await serve(talk)).url)
    with pytest.raises(OutcomeUnknown, match="the answer was cut after") as caught:
        await client.complete(call, deadline_s=10)
    assert caught.value.generation_id == "gen-wire"


async def test_gzip_is_understood(serve, quick, call, answer):
    async def talk(reader, writer):
        body = gzip.compress(json.dumps(answer()).encode())
        await says(writer, JSON_HEAD + b"Content-Encoding: gzip\r\n\r\n", body)

    got = await quick((await serve(talk)).url).complete(call, deadline_s=10)
    assert got.content == "Profits rose."


@pytest.mark.parametrize("encoding", [b"br", b"gzip"])
async def test_outcome_is_unknown_when_the_encoding_is_broken(serve, quick, call, encoding):
    async def talk(reader, writer):
        await says(writer, JSON_HEAD + b"Content-Encoding: " + encoding + b"\r\n\r\nnonsense")

    with pytest.raises(OutcomeUnknown, match="content encoding"):
        await quick((await serve(talk)).url).complete(call, deadline_s=10)


def gzip_bomb(size: int) -> bytes:
    squeeze = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    zeros = b" " * (1 << 20)
    return b"".join([*(squeeze.compress(zeros) for _ in range(size >> 20)), squeeze.flush()])


@pytest.mark.parametrize("streamed", [False, True])
async def test_memory_stays_small_when_a_gzip_bomb_comes(serve, quick, call, streamed):
    bomb = gzip_bomb(160 << 20)  # 160 kB on the wire

    async def talk(reader, writer):
        kind = b"text/event-stream" if streamed else b"application/json"
        await says(
            writer, HEAD + b"Content-Type: " + kind + b"\r\nContent-Encoding: gzip\r\n\r\n", bomb
        )

    client = quick((await serve(talk)).url)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OutcomeUnknown, match=r"larger than|more than"):
        if streamed:
            [part async for part in client.stream(call, deadline_s=60)]
        else:
            await client.complete(call, deadline_s=60)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 64 << 10


async def test_memory_stays_small_when_a_body_never_ends(serve, quick, call):
    async def talk(reader, writer):
        await says(writer, JSON_HEAD + b"\r\n")
        while True:
            await says(writer, b" " * 65536)

    served = await serve(talk)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OutcomeUnknown, match="larger than 8388608 bytes"):
        await quick(served.url).complete(call, deadline_s=60)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 << 10
    await asyncio.wait_for(served.closed.wait(), 5)


async def test_cancelling_a_call_closes_the_connection(serve, quick, call):
    asked = asyncio.Event()

    async def talk(reader, writer):
        asked.set()
        await forever(reader)

    served = await serve(talk)
    task = asyncio.ensure_future(quick(served.url).complete(call, deadline_s=60))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(served.closed.wait(), 5)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_a_stream_closes_the_connection(serve, quick, call, how):
    async def talk(reader, writer):
        await says(writer, SSE_HEAD, b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n')
        await forever(reader)

    served = await serve(talk)
    stream = quick(served.url).stream(call, deadline_s=60)
    first = await anext(stream)
    assert first.content == "Hi"
    if how == "close":
        await stream.aclose()
    else:
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.wait_for(served.closed.wait(), 5)


async def test_consumer_is_never_cancelled_by_the_streams_own_deadline(serve, quick, call):
    async def talk(reader, writer):
        await says(writer, SSE_HEAD, b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n')
        await forever(reader)

    stream = quick((await serve(talk)).url).stream(call, deadline_s=0.2)
    await anext(stream)
    await asyncio.sleep(0.4)  # a slow reader: the deadline passes outside the stream
    with pytest.raises(OutcomeUnknown, match="deadline passed"):
        await anext(stream)


async def test_connection_is_used_again_when_an_answer_was_read_to_its_end(
    serve, quick, call, answer
):
    body = json.dumps(answer()).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"

    async def talk(reader, writer):
        await says(writer, reply % (len(body), body))
        await reader.readuntil(b"\r\n\r\n")
        await says(writer, reply % (len(body), body))

    served = await serve(talk)
    client = quick(served.url)
    await client.complete(call, deadline_s=10)
    await client.complete(call, deadline_s=10)
    assert len(served.heads) == 1  # one connection


async def test_key_is_in_no_log_at_debug_level(serve, call, answer, caplog):
    async def talk(reader, writer):
        await says(writer, JSON_HEAD + b"\r\n", json.dumps(answer()).encode())

    key = "sk-or-v1-CANARY0123456789"
    served = await serve(talk)
    caplog.set_level(logging.DEBUG)
    quiet_http_logging()
    async with open_client(served.url, key, timeouts=Timeouts()) as client:
        await client.complete(call, deadline_s=10)
        assert key[:12] not in repr(client) + repr(client._redact) + repr(call)
    assert key[:12] not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith(("http", "aiohttp"))]
