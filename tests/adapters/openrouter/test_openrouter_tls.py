"""Real TLS and proxies: who is trusted, what a proxy sees, and how connections end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import ssl
import traceback
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from models.errors import InvalidConfiguration, NeverSent, OutcomeUnknown
from tasks.adapters.openrouter import OpenRouterClient, transport
from tasks.adapters.openrouter.proxy import proxy_of_environment

pytestmark = pytest.mark.anyio
KEY = "sk-or-v1-CANARY0123456789"
HEAD = b"HTTP/1.1 200 OK\r\nX-Generation-Id: gen-wire\r\n"
SSE_HEAD = HEAD + b"Content-Type: text/event-stream\r\n\r\n"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    monkeypatch.setattr(transport, "RETRY_WAIT_S", 0.001)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> str:
    """A certificate for `localhost` alone, signed by itself, with its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(made.public_bytes(pem) + secret)
    return str(path)


@pytest.fixture
async def serve_tls(certificate):
    """Start https servers: `await serve_tls(talk)` gives the port; a request's head is read."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with contextlib.AsyncExitStack() as stack:

        async def start(talk) -> int:
            async def connected(reader, writer):
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    await talk(reader, writer)
                writer.close()
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await writer.wait_closed()

            server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
            await stack.enter_async_context(server)
            return server.sockets[0].getsockname()[1]

        yield start


def replies(reply: bytes):
    async def talk(reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
            writer.write(reply)

    return talk


async def test_https_is_verified_by_the_certificates_of_the_environment(
    serve_tls, quick, call, reply, certificate, monkeypatch
):
    port = await serve_tls(replies(reply))
    with pytest.raises(NeverSent, match="certificate verify failed"):
        await quick(f"https://localhost:{port}/v1").complete(call, deadline_s=10)
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    trusting = quick(f"https://localhost:{port}/v1")
    for _ in range(2):
        got = await trusting.complete(call, deadline_s=10)
        assert got.content == "Profits rose."


async def test_https_is_refused_when_the_certificate_names_another_host(
    serve_tls, quick, call, reply, certificate, monkeypatch
):
    port = await serve_tls(replies(reply))
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    with pytest.raises(NeverSent, match="certificate verify failed"):
        await quick(f"https://127.0.0.1:{port}/v1").complete(call, deadline_s=10)


async def test_attempt_was_never_sent_when_the_handshake_hangs(serve, quick, call):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NeverSent):
            await quick(f"https://127.0.0.1:{port}/v1").complete(call, deadline_s=0.3)


@pytest.mark.parametrize("how", ["cancel", "deadline", "close"])
async def test_leaving_a_stream_ends_the_tls_connection(
    serve_tls, quick, call, certificate, monkeypatch, how
):
    ended = asyncio.Event()

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SSE_HEAD + b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n')
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        ended.set()

    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    client = quick(f"https://localhost:{await serve_tls(talk)}/v1")
    stream = client.stream(call, deadline_s=0.5 if how == "deadline" else 60)
    await anext(stream)
    if how == "close":
        await stream.aclose()
    elif how == "deadline":
        with pytest.raises(OutcomeUnknown, match="deadline passed"):
            await anext(stream)
    else:
        task = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.wait_for(ended.wait(), 5)


async def test_client_closes_without_leaving_anything_open(
    serve_tls, call, reply, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    port = await serve_tls(replies(reply))
    gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        client = OpenRouterClient(f"https://localhost:{port}/v1", KEY)
        await client.complete(call, deadline_s=10)
        hanging = asyncio.ensure_future(client.complete(call, deadline_s=10))
        await asyncio.sleep(0)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        await client.aclose()
        del client, hanging
        gc.collect()
    assert [str(warning.message) for warning in seen] == []


@pytest.fixture
async def proxy():
    """A proxy that tunnels to `localhost`; gives its port, what it was told, and its answer."""
    told: list[bytes] = []
    says = {"answer": b"HTTP/1.1 200 Connection established\r\n\r\n"}

    async def pump(reader, writer):
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                writer.write(piece)
        writer.close()

    async def connected(reader, writer):
        try:
            told.append(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError:  # the client gave up before it had asked
            writer.close()
            return
        writer.write(says["answer"])
        if b" 200 " in says["answer"]:
            port = int(told[-1].split(b" ")[1].rpartition(b":")[2])
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        else:
            await reader.read()
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], told, says


async def test_proxy_of_https_sees_nothing_but_where_to_connect(
    serve_tls, proxy, quick, call, reply, certificate, monkeypatch
):
    port, told, _ = proxy
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    monkeypatch.setenv("HTTPS_PROXY", f"http://worker:hunter%202@127.0.0.1:{port}")
    upstream = await serve_tls(replies(reply))
    client = quick(f"https://localhost:{upstream}/v1")
    for _ in range(2):
        assert (await client.complete(call, deadline_s=10)).content == "Profits rose."
    (head,) = told  # the tunnel is kept
    assert head.startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % upstream)
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"worker:hunter 2") in head
    assert not any(word in head for word in (b"Bearer", b"CANARY", b"Aardvark", b"/v1"))


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 ", b"nonsense\r\n\r\n"]
)
async def test_attempt_was_never_sent_when_the_proxy_does_not_connect(
    proxy, quick, call, monkeypatch, said
):
    port, told, says = proxy
    says["answer"] = said
    monkeypatch.setenv("ALL_PROXY", f"http://worker:hunter2@127.0.0.1:{port}")
    with pytest.raises(NeverSent) as caught:
        await quick("https://localhost:9/v1", key=KEY).complete(call, deadline_s=1)
    assert told and all(head.startswith(b"CONNECT localhost:9 ") for head in told)
    text = "".join(traceback.format_exception(caught.value))
    assert not any(word in text for word in ("hunter2", "CANARY"))


@pytest.mark.parametrize(
    ("environment", "host", "proxy"),
    [
        ({}, "openrouter.ai", None),
        ({"HTTP_PROXY": "http://p:1"}, "openrouter.ai", None),
        ({"HTTPS_PROXY": "http://p:1"}, "openrouter.ai", "http://p:1"),
        ({"https_proxy": "p:1"}, "openrouter.ai", "http://p:1"),
        ({"ALL_PROXY": "https://p:1"}, "openrouter.ai", "https://p:1"),
        ({"ALL_PROXY": "http://a:1", "HTTPS_PROXY": "http://p:1"}, "x.test", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "openrouter.ai"}, "openrouter.ai", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.test, .corp.test"}, "x.corp.test", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "corp.test"}, "x.corp.test", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "corp.test"}, "xcorp.test", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.7"}, "10.0.0.7", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "openrouter.ai", None),
    ],
)
def test_proxy_is_the_one_that_the_environment_names(environment, host, proxy, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_of_environment(host)
    assert (None if found is None else str(found.url)) == proxy


@pytest.mark.parametrize(
    "url", ["socks5://u:hunter2@p:1", "ftp://u:hunter2@p", "http://u:hunter2@p:9x", "http://"]
)
def test_proxy_is_refused_without_its_password_when_it_cannot_be_used(url, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", url)
    with pytest.raises(InvalidConfiguration, match="not the URL of an HTTP proxy") as caught:
        OpenRouterClient("https://openrouter.ai/api/v1", KEY)
    assert "hunter2" not in str(caught.value)
