"""Real sockets: what may have been sent, when headers came, where the key goes."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest

from models.errors import HoldFate, NeverSent, OutcomeUnknown, RequestRejected
from tasks.adapters.openrouter import transport

pytestmark = pytest.mark.anyio
HEAD = b"HTTP/1.1 200 OK\r\nX-Generation-Id: gen-wire\r\nConnection: close\r\n"
JSON_HEAD = HEAD + b"Content-Type: application/json\r\n"
SSE_HEAD = HEAD + b"Content-Type: text/event-stream\r\n\r\n"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_retry_waits(monkeypatch):
    monkeypatch.setattr(transport, "RETRY_WAIT_S", 0.001)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def says(writer: asyncio.StreamWriter, *parts: bytes) -> None:
    for part in parts:
        writer.write(part)
        await writer.drain()


async def forever(reader: asyncio.StreamReader) -> None:
    """Wait until the other side closes."""
    await reader.read()


async def test_attempt_was_never_sent_when_nobody_listens(quick, call, caplog):
    client = quick(f"http://127.0.0.1:{free_port()}/api/v1")
    with pytest.raises(NeverSent, match=r"no connection to 127\.0\.0\.1") as caught:
        await client.complete(call, deadline_s=10)
    assert caught.value.hold_fate is HoldFate.KEPT
    tries = [record for record in caplog.records if "upstream not reached" in record.message]
    assert len(tries) == 2  # and the third ends it


async def test_attempt_was_never_sent_when_the_name_does_not_resolve(quick, call):
    client = quick("https://switchyard-upstream.invalid/api/v1")
    with pytest.raises(NeverSent):
        await client.complete(call, deadline_s=20)


async def test_attempt_was_never_sent_when_tls_fails(quick, call):
    connections = []

    async def no_tls(reader, writer):
        connections.append(writer)
        await says(writer, b"this is no TLS\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(no_tls, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NeverSent):
            await quick(f"https://127.0.0.1:{port}/api/v1").complete(call, deadline_s=20)
        assert len(connections) == 3


@pytest.mark.parametrize(
    ("told", "leaf"),
    [
        ([False], NeverSent),
        ([False, True], OutcomeUnknown),
        ([True], OutcomeUnknown),
        ([], OutcomeUnknown),  # a transport that does not tell
    ],
)
async def test_deadline_means_never_sent_only_while_a_connection_is_made(
    scripted, call, told, leaf
):
    class Stuck(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            for may_have_left in told:
                request.extensions["progress"].may_have_left = may_have_left
            await asyncio.Event().wait()

    client = scripted().client
    client._wire = Stuck()
    with pytest.raises(leaf):
        await client.complete(call, deadline_s=0.1)


async def test_progress_learns_from_the_transport_what_was_sent(serve, quick, call, monkeypatch):
    seen = []

    class Recorded(transport.Progress):
        def __setattr__(self, name, value):
            seen.append((value, len(served.heads)))
            super().__setattr__(name, value)

    async def talk(reader, writer):
        seen.append(("arrived", 1))
        await says(writer, b"HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n")

    served = await serve(talk)
    monkeypatch.setattr(transport, "Progress", Recorded)
    with pytest.raises(RequestRejected):
        await quick(served.url).complete(call, deadline_s=10)
    assert seen == [(True, 0), (False, 0), (True, 0), ("arrived", 1)]


async def test_attempt_was_never_sent_when_the_deadline_has_passed(quick, call):
    with pytest.raises(NeverSent):
        await quick("http://127.0.0.1:1/api/v1").complete(call, deadline_s=0)


async def test_second_try_is_made_when_the_first_could_not_connect(scripted, call, answer):
    script = scripted(200, answer())
    inner = script.client._wire
    failures = [httpx.ConnectError("refused"), httpx.PoolTimeout("full")]

    class Flaky(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            if failures:
                raise failures.pop()
            return await inner.handle_async_request(request)

    script.client._wire = Flaky()
    got = await script.client.complete(call, deadline_s=5)
    assert got.content == "Profits rose."
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "error",
    [httpx.WriteError, httpx.WriteTimeout, httpx.ReadError, httpx.ReadTimeout, OSError],
)
async def test_attempt_is_not_repeated_when_a_byte_may_have_left(scripted, call, error):
    tries = []

    class Breaking(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            tries.append(request)
            raise error("broken")

    client = scripted().client
    client._wire = Breaking()
    with pytest.raises(OutcomeUnknown):
        await client.complete(call, deadline_s=5)
    assert len(tries) == 1


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200"])
async def test_outcome_is_unknown_when_the_connection_closes_before_headers(
    serve, quick, call, said
):
    async def talk(reader, writer):
        await says(writer, said)

    client = quick((await serve(talk)).url)
    with pytest.raises(OutcomeUnknown, match="the connection broke"):
        await client.complete(call, deadline_s=10)


@pytest.mark.parametrize(("deadline_s", "read_s"), [(0.3, 30.0), (30.0, 0.3)])
async def test_outcome_is_unknown_when_the_upstream_hangs_before_headers(
    serve, quick, call, deadline_s, read_s
):
    async def talk(reader, writer):
        await forever(reader)

    served = await serve(talk)
    with pytest.raises(OutcomeUnknown):
        await quick(served.url, read_s=read_s).complete(call, deadline_s=deadline_s)
    await asyncio.wait_for(served.closed.wait(), 5)


async def test_generation_id_is_noted_before_the_body_comes(serve, quick, call, answer):
    noted = asyncio.Event()

    async def talk(reader, writer):
        await says(writer, JSON_HEAD + b"\r\n")
        await noted.wait()  # the body is not even written before
        await says(writer, json.dumps(answer()).encode())

    async def note(generation_id):
        assert generation_id == "gen-wire"
        noted.set()

    client = quick((await serve(talk)).url)
    got = await client.complete(call, deadline_s=10, on_headers=note)
    assert got.generation_id == "gen-wire"


async def test_upstream_is_left_when_the_id_cannot_be_noted(serve, quick, call):
    async def talk(reader, writer):
        await says(writer, SSE_HEAD)
        await forever(reader)

    async def note(generation_id):
        raise LookupError("no row")

    served = await serve(talk)
    with pytest.raises(LookupError):
        await quick(served.url).complete(call, deadline_s=10, on_headers=note)
    await asyncio.wait_for(served.closed.wait(), 5)


@pytest.mark.parametrize(
    ("deadline_s", "read_s", "words"),
    [(0.3, 30.0, "deadline passed after 7 bytes"), (30.0, 0.3, "silence in the answer after 7")],
)
async def test_outcome_is_unknown_when_the_upstream_hangs_mid_body(
    serve, quick, call, deadline_s, read_s, words
):
    async def talk(reader, writer):
        await says(writer, JSON_HEAD + b"\r\n", b'{"id": ')
        await forever(reader)

    client = quick((await serve(talk)).url, read_s=read_s)
    with pytest.raises(OutcomeUnknown, match=words) as caught:
        await client.complete(call, deadline_s=deadline_s)
    assert caught.value.generation_id == "gen-wire"


async def test_deadline_ends_a_stream_that_drips(serve, quick, call):
    async def talk(reader, writer):
        await says(writer, SSE_HEAD)
        while True:
            await says(writer, b":")
            await asyncio.sleep(0.02)

    client = quick((await serve(talk)).url)
    with pytest.raises(OutcomeUnknown, match="deadline passed"):
        [part async for part in client.stream(call, deadline_s=0.4, idle_timeout_s=5)]


async def test_idle_timeout_ends_a_silent_stream(serve, quick, call):
    async def talk(reader, writer):
        await says(writer, SSE_HEAD, b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n')
        await forever(reader)

    client = quick((await serve(talk)).url)
    with pytest.raises(OutcomeUnknown, match="stream cut after 2 characters of text: silence"):
        [part async for part in client.stream(call, deadline_s=30, idle_timeout_s=0.2)]


async def test_redirect_is_not_followed_and_the_key_goes_nowhere_else(serve, quick, call):
    async def stranger(reader, writer):
        await says(writer, JSON_HEAD + b"\r\n{}")

    elsewhere = await serve(stranger)

    async def talk(reader, writer):
        location = f"Location: {elsewhere.url}/chat/completions\r\n".encode()
        await says(writer, b"HTTP/1.1 307 Moved\r\nContent-Length: 0\r\n" + location + b"\r\n")

    served = await serve(talk)
    with pytest.raises(RequestRejected, match="redirects, which is not followed"):
        await quick(served.url).complete(call, deadline_s=10)
    assert elsewhere.heads == []
    assert b"Bearer sk-or-v1-CANARY" in served.heads[0]


async def test_plain_http_ignores_proxies_of_the_environment(
    serve, quick, call, answer, monkeypatch
):
    async def talk(reader, writer):
        await says(writer, JSON_HEAD + b"\r\n", json.dumps(answer()).encode())

    served, proxy = await serve(talk), await serve(talk)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    await quick(served.url).complete(call, deadline_s=10)
    assert (len(served.heads), proxy.heads) == (1, [])
