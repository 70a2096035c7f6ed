"""Real sockets: which connection a request takes, how often it is sent, what is kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time

import httpx
import pytest

from models.errors import NeverSent, OutcomeUnknown
from tasks.adapters.openrouter import OpenRouterClient, Timeouts, client, transport

pytestmark = pytest.mark.anyio
KEY = "sk-or-v1-CANARY0123456789"
HEAD = b"HTTP/1.1 200 OK\r\nX-Generation-Id: gen-wire\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def no_retry_waits(monkeypatch):
    monkeypatch.setattr(transport, "RETRY_WAIT_S", 0.001)


@pytest.fixture
def limited(quick, monkeypatch):
    """Make clients with other limits."""

    def make(url: str, **limits) -> OpenRouterClient:
        known = {"max_connections": 200, "max_keepalive_connections": 50, "keepalive_expiry": 4.0}
        monkeypatch.setattr(client, "LIMITS", httpx.Limits(**(known | limits)))
        return quick(url)

    return make


async def asked(reader: asyncio.StreamReader) -> bytes:
    """Read one request; b"" at the connection's end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return head + await reader.readexactly(int(length or 0))


async def answers_all(reader, writer, reply: bytes) -> None:
    """Answer the request that was read, and those that follow."""
    writer.write(reply)
    while await asked(reader):
        writer.write(reply)


async def test_post_is_sent_once_when_a_kept_connection_closes_under_it(serve, quick, call, reply):
    requests = []

    async def talk(reader, writer):
        requests.append("first")
        writer.write(reply)
        requests.append(await asked(reader))  # and the connection is closed on it

    served = await serve(talk)
    client = quick(served.url)
    await client.complete(call, deadline_s=10)
    with pytest.raises(OutcomeUnknown, match="the connection broke"):
        await client.complete(call, deadline_s=10)
    assert len(served.heads) == 1  # no second connection
    assert [request[:5] for request in requests] == ["first", b"POST "]


async def test_look_up_is_sent_again_when_a_kept_connection_closes_under_it(serve, quick):
    served = None
    body = b'{"data": {"total_credits": 5, "total_usage": 1}}'
    reply = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)

    async def talk(reader, writer):
        writer.write(reply)
        await asked(reader)

    served = await serve(talk)
    client = quick(served.url)
    first, second = await client.credits(), await client.credits()
    assert first == second
    assert len(served.heads) == 2


def test_request_takes_a_new_connection_when_the_kept_one_was_closed_unheard(call, reply):
    """The server closes while our loop is busy; a request would be lost on that connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed, connections = threading.Event(), []

        def serve_two() -> None:
            for _ in range(2):
                connection, _address = listener.accept()
                connections.append(connection)
                with connection:
                    while b"Aardvark" not in connection.recv(65536):
                        pass
                    connection.sendall(reply)
                    time.sleep(0.1)  # so that the answer is read before the end comes
                closed.set()

        async def ask_twice() -> None:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            asks = OpenRouterClient(url, KEY)
            await asks.complete(call, deadline_s=10)
            assert closed.wait(5)  # the loop stands still meanwhile
            await asks.complete(call, deadline_s=10)
            await asks.aclose()

        thread = threading.Thread(target=serve_two)
        thread.start()
        asyncio.run(ask_twice())
        thread.join()
    assert len(connections) == 2


async def test_attempt_was_never_sent_when_every_connection_is_busy(serve, limited, call):
    came = asyncio.Event()

    async def talk(reader, writer):
        came.set()
        await reader.read()

    served = await serve(talk)
    client = limited(served.url, max_connections=1)
    client._timeouts = Timeouts(pool_s=0.05)
    first = asyncio.ensure_future(client.complete(call, deadline_s=60))
    await came.wait()
    with pytest.raises(NeverSent, match="every connection is busy"):
        await client.complete(call, deadline_s=5)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(served.heads) == 1


async def test_requests_wait_for_a_place_when_there_are_more_of_them(serve, limited, call, reply):
    busy, most = set[asyncio.StreamWriter](), 0

    async def talk(reader, writer):
        nonlocal most
        while True:
            busy.add(writer)
            most = max(most, len(busy))
            await asyncio.sleep(0.005)
            busy.discard(writer)
            writer.write(reply)
            if not await asked(reader):
                return

    served = await serve(talk)
    client = limited(served.url, max_connections=3)
    await asyncio.gather(*(client.complete(call, deadline_s=20) for _ in range(12)))
    assert (most, len(served.heads)) == (3, 3)


async def test_cookies_are_not_sent_back(serve, quick, call, reply):
    seen = []

    async def talk(reader, writer):
        head, _, body = reply.partition(b"\r\n\r\n")
        writer.write(head + b"\r\nSet-Cookie: __cf_bm=x; Path=/\r\n\r\n" + body)
        seen.append(await asked(reader))
        writer.write(reply)

    client = quick((await serve(talk)).url)
    await client.complete(call, deadline_s=10)
    await client.complete(call, deadline_s=10)
    assert b"authorization:" in seen[0].lower() and b"cookie" not in seen[0].lower()


def test_client_is_used_in_one_event_loop_after_another(call, reply):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = OpenRouterClient(f"http://127.0.0.1:{port}/v1", KEY)  # outside of any loop

    async def ask() -> str:
        async def connected(reader, writer):
            with contextlib.closing(writer):
                await asked(reader)
                await answers_all(reader, writer, reply)

        async with await asyncio.start_server(connected, "127.0.0.1", port):
            return (await client.complete(call, deadline_s=10)).content

    assert [asyncio.run(ask()), asyncio.run(ask())] == ["Profits rose."] * 2
    asyncio.run(client.aclose())


async def test_two_hundred_requests_are_under_way_at_once(serve, quick, call, reply):
    met = asyncio.Barrier(200)

    async def talk(reader, writer):
        await met.wait()
        await answers_all(reader, writer, reply)

    client = quick((await serve(talk)).url)
    done = await asyncio.gather(*(client.complete(call, deadline_s=60) for _ in range(200)))
    assert {one.content for one in done} == {"Profits rose."}


async def test_only_so_many_idle_connections_are_kept(serve, limited, call, reply):
    met, ended = asyncio.Barrier(5), asyncio.Queue[asyncio.StreamWriter]()

    async def talk(reader, writer):
        await met.wait()
        await answers_all(reader, writer, reply)
        ended.put_nowait(writer)

    client = limited((await serve(talk)).url, max_keepalive_connections=2)
    await asyncio.gather(*(client.complete(call, deadline_s=10) for _ in range(5)))
    for _ in range(3):
        await asyncio.wait_for(ended.get(), 5)
    await asyncio.sleep(0.05)
    assert ended.empty()


async def test_idle_connection_is_not_used_when_it_is_old(serve, limited, call, reply):
    async def talk(reader, writer):
        await answers_all(reader, writer, reply)

    served = await serve(talk)
    client = limited(served.url, keepalive_expiry=0.1)
    await client.complete(call, deadline_s=10)
    await asyncio.sleep(0.15)
    await client.complete(call, deadline_s=10)
    assert len(served.heads) == 2


async def test_attempt_was_never_sent_when_the_connection_is_not_taken(quick, call):
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # fill the backlog: the next ones hang
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with pytest.raises(NeverSent):
            await quick(url).complete(call, deadline_s=0.3)
