"""The gate of the application: host, caller, load and body are checked before any route runs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.api.access import KeyRing
from deployments.api.gate import Gate
from deployments.api.metrics import Metrics
from deployments.api.options import ServeOptions, is_loopback
from deployments.api.problems import ApiProblem, as_problem, problem_response
from models.errors import SwitchyardError

CHAT_PATH = "/v1/chat/completions"
# Exactly these need no key: they tell nothing about anybody's requests or money.
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/", "/page/page.css", "/page/page.js"})
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
SURROGATE = re.compile(rb"\\\\u[dD][89a-fA-F]")
# An escaped U+0000, told from an escaped backslash before "u0000".
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Guard:
    """ASGI middleware; what it lets through carries `principal` and `headers` in its state.

    Requests of the route `direct` go to its endpoint, past everything that `app` does around one.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        direct: Route,
        keys: KeyRing,
        gate: Gate,
        options: ServeOptions,
        metrics: Metrics,
    ) -> None:
        self._app, self._direct = app, direct
        self._keys, self._gate = keys, gate
        self._options, self._metrics = options, metrics
        self._on_loopback = options.on_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] != "http":
            return
        started_s, status = time.perf_counter(), [500]
        guarded_send = _with_headers(send, status)
        try:
            await self._let_through(scope, receive, guarded_send)
        except (ApiProblem, SwitchyardError) as error:
            await problem_response(as_problem(error), scope["path"])(scope, receive, guarded_send)
        finally:
            self._metrics.note_request(scope, status[0], time.perf_counter() - started_s)

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _texts(scope)
        _demand_one_host(scope, headers)
        self._check_host(headers)
        if scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        caller = await self._keys.principal(headers.get("authorization"))
        scope.setdefault("state", {}).update(principal=caller, headers=headers)
        with self._gate.passing(caller):
            body = await self._body(scope, headers, receive)
            await self._answering(scope)(scope, _replayed(body, receive), send)

    def _answering(self, scope: Scope) -> ASGIApp:
        direct = self._direct
        if scope["path"] != direct.path or scope["method"] not in (direct.methods or ()):
            return self._app
        scope["route"] = direct  # metrics and spans name it
        return direct.app

    def _check_host(self, headers: Mapping[str, str]) -> None:
        """Refuse other sites' pages: on loopback by name (DNS rebinding), always by origin."""
        host = headers.get("host", "")
        if self._on_loopback and not _names_loopback(host):
            raise ApiProblem(403, "this host name is not served here")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise ApiProblem(403, "requests of other sites' pages are not answered")

    async def _body(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> bytes:
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
        if message["type"] != "http.response.start":
            await send(message)
            return
        headers = message["headers"]
        own = {name for name, _ in headers}
        headers.extend(pair for pair in SECURITY_HEADERS if pair[0] not in own)
        await send(message)
        status[0] = message["status"]

    return send_with_headers


def _texts(scope: Scope) -> dict[str, str]:
    """Return the headers of a request; of a repeated one the first, as Starlette does."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in reversed(scope["headers"])
    }


def _demand_one_host(scope: Scope, headers: Mapping[str, str]) -> None:
    """Refuse two Host headers: whatever stands before us may have read the other one."""
    if len(headers) < len(scope["headers"]):
        names = [name for name, _ in scope["headers"]]
        if names.count(b"host") > 1:
            raise ApiProblem(400, "there is more than one Host header")


@lru_cache(maxsize=256)
def _names_loopback(host: str) -> bool:
    """Return whether the name in a Host header, its port left out, is this machine's."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
