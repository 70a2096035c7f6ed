"""A chat request goes past FastAPI's layers, and through a parser that is bounded."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.api.access import LOCAL
from deployments.api.application import create_application, routed
from deployments.api.options import ServeOptions
from deployments.api.service import open_state
from tasks.adapters.settings import Settings
from tests.api.conftest import RunningApi

PATH = "/v1/chat/completions"
ASK: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hello"}],
    "metadata": {"idempotency_key": "once"},
}
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
WISH = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
INVALID = b"Invalid HTTP request received."


def _passed(app: ASGIApp) -> ASGIApp:
    """Do what the guard does for a caller who is let through."""

    async def with_caller(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope | {"state": {"principal": LOCAL, "headers": {}}}, receive, send)

    return with_caller


async def _chat(app: ASGIApp, body: object = ASK) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(PATH, json=body)


@pytest.mark.anyio
@pytest.mark.parametrize("body", [ASK, ASK | {"stream": True}, {}])
async def test_chat_is_answered_alike_with_and_without_the_layers_of_fastapi(
    settings: Settings, body: object
) -> None:
    async with open_state(settings, ServeOptions(lane="ledger")) as state:
        await _chat(create_application(state))  # later ones are answered from what it has stored
        direct = await _chat(create_application(state), body)
        layered = await _chat(_passed(routed(state)), body)
    assert direct.status_code == layered.status_code
    assert direct.text.partition("created")[0] == layered.text.partition("created")[0] != ""
    assert layered.headers.items() <= direct.headers.items()


@pytest.mark.anyio
async def test_error_that_nobody_foresaw_is_logged_and_told_without_its_words(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_state(settings, ServeOptions(lane="ledger")) as state:
        broken = replace(state, lanes=None)  # type: ignore[arg-type]
        answer = await _chat(create_application(broken))
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "an internal error"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert f"POST {PATH} failed" in caplog.text


def _talk(api: RunningApi, sent: bytes, *, answers: int = 1) -> bytes:
    """Send bytes; return what came until so many answers began or the connection ended."""
    url, got = httpx.URL(api.url), b""
    with socket.create_connection((url.host, url.port or 80), timeout=10) as raw:
        try:
            raw.sendall(sent)
            while got.count(b"HTTP/1.1 ") < answers and (piece := raw.recv(65_536)):
                got += piece
        except ConnectionError:  # it was refused before all of it was sent
            pass
    return got


def _request(head: bytes, body: bytes) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_wish_for_http2_is_passed_over_and_every_body_is_read(shared_api: RunningApi) -> None:
    one = _request(CHAT + WISH, json.dumps(ASK).encode())
    assert _talk(shared_api, one + one, answers=2).count(b"HTTP/1.1 200") == 2
    assert len(shared_api.simulator.charges) == 1  # one key: the second answer is the first


def test_wish_for_http2_behind_a_running_request_ends_the_connection_after_it(
    shared_api: RunningApi,
) -> None:
    first = _request(CHAT, json.dumps(ASK).encode())
    got = _talk(shared_api, first + HEALTH + WISH + b"\r\n", answers=2)
    assert got.count(b"HTTP/1.1 200") == got.count(b"HTTP/1.1 ") == 1


def test_body_in_single_bytes_is_read_whole(shared_api: RunningApi) -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in json.dumps(ASK).encode())
    got = _talk(shared_api, CHAT + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "endless",
    [
        HEALTH + b"X: " + b"a" * 1_000_000,
        HEALTH + b"X: a\r\n" * 200_000,
        b"GET /" + b"a" * 1_000_000,
        b"\r\n" * 500_000,
        CHAT + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"e" * 1_000_000,
        CHAT + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: " + b"a" * 1_000_000,
    ],
    ids=["header", "headers", "path", "blank lines", "chunk extension", "trailer"],
)
def test_head_without_end_is_refused(shared_api: RunningApi, endless: bytes) -> None:
    got = _talk(shared_api, endless, answers=2)
    assert got == b"" or got.endswith(INVALID)  # b"": the refusal was lost with the connection
    with shared_api.client() as client:
        assert client.get("/healthz").status_code == 200


def test_head_and_body_of_an_answer_arrive_as_one(shared_api: RunningApi) -> None:
    got = _talk(shared_api, HEALTH + b"\r\n")  # returns with the first piece that arrives
    assert got.endswith(httpx.get(f"{shared_api.url}/healthz").content)


def test_a_connection_closes_after_the_whole_answer(shared_api: RunningApi) -> None:
    got = _talk(shared_api, HEALTH + b"Connection: close\r\n\r\n", answers=2)
    assert got.endswith(httpx.get(f"{shared_api.url}/healthz").content)


def test_two_host_headers_are_refused(shared_api: RunningApi) -> None:
    assert _talk(shared_api, HEALTH + b"Host: localhost\r\n\r\n").startswith(b"HTTP/1.1 400")
