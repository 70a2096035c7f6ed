"""The gate of the application: host, caller, load and body are checked before any route runs."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.access import Gate, KeyRing
from deployments.api.metrics import Metrics
from deployments.api.options import ServeOptions, is_loopback
from deployments.api.problems import ApiProblem, problem_of, problem_response
from models.errors import SwitchyardError

CHAT_PATH = "/v1/chat/completions"
# Exactly these need no key: they tell nothing about anybody's requests or money.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/", "/page/page.css", "/page/page.js"})
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
SURROGATE = re.compile(rb"\\\\u[dD][89a-fA-F]")
# An escaped U+0000, told from an escaped backslash before "u0000".
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Guard:
    """ASGI middleware; what it lets through carries `principal` in the request's state."""

    def __init__(
        self, app: ASGIApp, *, keys: KeyRing, gate: Gate, options: ServeOptions, metrics: Metrics
    ) -> None:
        self._app, self._keys, self._gate = app, keys, gate
        self._options, self._metrics = options, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] != "http":
            return
        started_s, status = time.perf_counter(), [500]
        guarded_send = _with_headers(send, status)
        try:
            await self._let_through(scope, receive, guarded_send)
        except (ApiProblem, SwitchyardError) as error:
            problem = error if isinstance(error, ApiProblem) else problem_of(error)
            await problem_response(problem, scope["path"])(scope, receive, guarded_send)
        finally:
            self._metrics.note_request(scope, status[0], time.perf_counter() - started_s)

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers)
        if scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        caller = await self._keys.principal(headers.get("authorization"))
        scope.setdefault("state", {})["principal"] = caller
        with self._gate.passing(caller):
            body = await self._body(scope, headers, receive)
            await self._app(scope, _replayed(body, receive), send)

    def _check_host(self, headers: Headers) -> None:
        """Refuse other sites' pages: on loopback by name (DNS rebinding), always by origin."""
        host = headers.get("host", "")
        if self._options.on_loopback and not is_loopback(_hostname(host)):
            raise ApiProblem(403, "this host name is not served here")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise ApiProblem(403, "requests of other sites' pages are not answered")

    async def _body(self, scope: Scope, headers: Headers, receive: Receive) -> bytes:
        chat = scope["path"] == CHAT_PATH
        most = self._options.chat_bytes_max if chat else self._options.body_bytes_max
        stated = headers.get("content-length", "0")
        if stated.isdecimal() and int(stated) > most:
            raise _too_large(most)
        return _storable(await _read(receive, most))


async def _read(receive: Receive, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ApiProblem(400, "the request ended early")
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise _too_large(most)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _storable(body: bytes) -> bytes:
    """Return the body with what PostgreSQL can store: U+0000 becomes U+FFFD, as in answers.

    Raises 422 for half a surrogate pair, which no UTF-8 text can hold.
    """
    if b"\\u" not in body:
        return body
    if SURROGATE.search(body):
        _demand_whole_pairs(body)
    return NUL.sub(rb"\1\\ufffd", body)


def _demand_whole_pairs(body: bytes) -> None:
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ApiProblem(422, "a text holds half a surrogate pair") from None
    except (ValueError, RecursionError):  # no JSON: the route says so
        return


def _too_large(most: int) -> ApiProblem:
    # The rest of the body is not read, so the connection cannot be used again.
    return ApiProblem(413, f"the body is larger than {most} bytes", headers={"Connection": "close"})


def _replayed(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _with_headers(send: Send, status: list[int]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            status[0] = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


def _hostname(host: str) -> str:
    """Return the name in a Host header, its port left out."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
