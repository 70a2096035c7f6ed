"""Who may do what: every route with every kind of key, other sites' pages, limits."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from deployments.api.options import ServeOptions, is_loopback
from deployments.api.service import ApiService
from models.api_key import Scope
from models.errors import InvalidConfiguration
from tasks.adapters.database import open_database
from tasks.adapters.settings import Settings
from tasks.adapters.store.keys import create_key, list_keys, revoke_key, rotate_key
from tests.api.conftest import RunningApi, StartApi

ADMIN = "an-admin-key-of-the-test"
SOME_ID = "00000000-0000-4000-8000-000000000000"
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
ROUTES: list[tuple[str, str, str, Any]] = [
    ("GET", "/api/routing/policies", "read", None),
    ("POST", "/api/routing/policies", "admin", {}),
    ("POST", "/api/routing/backtest", "read", {}),
    ("GET", "/api/routing/canaries", "read", None),
    ("POST", "/api/routing/canaries/ops", "admin", {"action": "abort"}),
    ("GET", "/api/routing/costs", "read", None),
    ("GET", "/api/routing/performance", "read", None),
    ("GET", "/api/routing/report", "read", None),
    ("POST", "/api/routing/select", "route", {"prompt": "hello"}),
    ("POST", "/api/routing/tasks", "route", {"prompt": "hello"}),
    ("GET", f"/api/routing/tasks/{SOME_ID}", "read", None),
    ("GET", "/api/routing/decisions", "read", None),
    ("GET", f"/api/routing/decisions/{SOME_ID}", "read", None),
    ("POST", "/api/routing/feedback", "route", {"decision_id": SOME_ID, "score": 1}),
    ("GET", "/api/routing/budgets", "read", None),
    ("PUT", "/api/routing/budgets", "admin", {}),
    ("GET", "/api/routing/cache", "read", None),
    ("DELETE", "/api/routing/cache", "admin", None),
    ("GET", "/metrics", "read", None),
    ("GET", "/page/facts", "read", None),
    ("GET", "/openapi.json", "read", None),
    ("POST", "/v1/chat/completions", "route", ASK),
    ("GET", "/v1/models", "read", None),
]
OPEN = ("/", "/healthz", "/readyz", "/page/page.css", "/page/page.js")
DISGUISED = (
    "/healthz/", "//healthz", "/HEALTHZ", "/metrics/healthz", "/metrics/ready",
    "/metrics%2fhealthz", "/api/routing/costs//",
    "/%61pi/routing/costs", "/healthz/../metrics", "/nothing/here",
)  # fmt: skip


def _in_database(api: RunningApi, work: Any) -> Any:
    async def run() -> Any:
        assert api.settings.database_url is not None
        async with open_database(api.settings.database_url.get_secret_value()) as database:
            return await work(database)

    return asyncio.run(run())


def _key(api: RunningApi, name: str, *scopes: Scope, **options: Any) -> str:
    _, token = _in_database(api, lambda db: create_key(db, name, scopes, **options))
    return str(token)


def _ask(client: httpx.Client, route: tuple[str, str, str, Any]) -> int:
    method, path, _, body = route
    return client.request(method, path, json=body).status_code


def test_every_route_answers_only_to_keys_with_its_scope(start_api: StartApi) -> None:
    api = start_api(key=ADMIN)
    tokens = {scope: _key(api, scope.value, scope) for scope in Scope}
    expired = _key(api, "old", Scope.ADMIN, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = _key(api, "gone", Scope.ADMIN)
    _in_database(api, lambda db: revoke_key(db, "gone"))
    wrong = tokens[Scope.ADMIN][:-1] + "x"
    for route in ROUTES:
        for bad in (None, "nobody", wrong, expired, revoked, ADMIN + "x", ADMIN[:-1]):
            with api.client(bad) as client:
                assert _ask(client, route) == 401, (route, bad)
        for scope, token in tokens.items():
            with api.client(token) as client:
                allowed = scope.value in (route[2], "admin")
                assert (_ask(client, route) == 403) is not allowed, (route, scope)
    with api.client(ADMIN) as client:
        assert all(_ask(client, route) not in (401, 403) for route in ROUTES)


def test_only_an_exact_list_of_paths_is_open(start_api: StartApi) -> None:
    api = start_api(key=ADMIN)
    with api.client() as client:
        assert [client.get(path).status_code for path in OPEN] == [200] * len(OPEN)
        for path in DISGUISED:
            raw = client.build_request("GET", api.url + "/")
            raw.url = raw.url.copy_with(raw_path=path.encode())
            assert client.send(raw).status_code == 401, path


def test_a_key_is_not_stored_and_rotation_ends_the_old_one(start_api: StartApi) -> None:
    api = start_api(key=ADMIN)
    token = _key(api, "crawler", Scope.ROUTE, worker_id="crawler-7")
    _, fresh = _in_database(api, lambda db: rotate_key(db, "crawler"))
    (stored,) = _in_database(api, list_keys)
    assert token not in repr(stored) and fresh not in repr(stored)
    with api.client(token) as old, api.client(fresh) as new:
        assert old.post("/v1/chat/completions", json=ASK).status_code == 401
        answer = new.post("/api/routing/tasks", json={"prompt": "hello", "worker_id": "other"})
    assert answer.json()["worker_id"] == "crawler-7"


def test_a_bad_key_of_our_make_is_refused_even_where_none_is_needed(api: RunningApi) -> None:
    with api.client("sy_abcdefgh_0123456789") as client:
        assert client.get("/v1/models").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example:8700"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_other_sites_pages_are_not_answered(api: RunningApi, headers: dict[str, str]) -> None:
    with api.client() as client:
        assert client.get("/api/routing/costs", headers=headers).status_code == 403
        assert (
            "access-control-allow-origin"
            not in client.options("/api/routing/costs", headers=headers).headers
        )


def test_the_page_of_this_api_is_answered(api: RunningApi) -> None:
    with api.client() as client:
        assert client.get("/api/routing/costs", headers={"Origin": api.url}).status_code == 200


def test_listening_for_others_without_a_key_is_refused(settings: Settings) -> None:
    service = ApiService(settings, ServeOptions(host="0.0.0.0", port=0, lane="ledger"))
    with pytest.raises(InvalidConfiguration, match="needs a key"):
        service.start()
    service.stop()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("127.8.9.1", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_loopback_is_told_from_everything_else(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_large_bodies_are_refused_by_their_length_and_by_their_size(start_api: StartApi) -> None:
    api = start_api(body_bytes_max=10_000, chat_bytes_max=20_000)

    def pieces() -> Any:
        for _ in range(30):
            yield b" " * 1000

    with api.client() as client:
        big = {"prompt": "x" * 15_000}
        assert client.post("/api/routing/tasks", json=big).status_code == 413
        assert client.post("/api/routing/tasks", content=pieces()).status_code == 413
        asked = {"messages": [{"role": "user", "content": "x" * 15_000}]}
        assert client.post("/v1/chat/completions", json=asked).status_code == 200
        refused = client.post("/v1/chat/completions", content=pieces())
    assert refused.status_code == 413 and refused.json()["error"]["code"] == 413


def test_a_key_is_held_to_its_requests_a_minute(start_api: StartApi) -> None:
    api = start_api(key=ADMIN)
    with api.client(_key(api, "slow", Scope.READ, requests_per_minute=2)) as client:
        statuses = [client.get("/v1/models") for _ in range(3)]
    assert [answer.status_code for answer in statuses] == [200, 200, 429]
    assert int(statuses[-1].headers["retry-after"]) > 0


def test_more_requests_at_once_than_allowed_are_refused(start_api: StartApi) -> None:
    api = start_api(concurrent_max=1)
    with (
        api.client() as client,
        socket.create_connection((client.base_url.host, client.base_url.port or 80)) as held,
    ):
        held.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
        refused = _until(lambda: client.get("/v1/models"), 429)
        assert refused.headers["retry-after"] == "1"
        held.sendall(b"12345")
        assert held.recv(100).startswith(b"HTTP/1.1 200")


def _until(ask: Any, status: int) -> httpx.Response:
    for _ in range(500):
        answer: httpx.Response = ask()
        if answer.status_code == status:
            return answer
    raise AssertionError(f"never answered {status}")


def test_no_secret_is_in_errors_documents_or_metrics(start_api: StartApi) -> None:
    api = start_api(key=ADMIN)
    token = _key(api, "canary", Scope.ADMIN)
    with api.client(token) as client:
        texts = [client.request(m, p, json=b).text for m, p, _, b in ROUTES]
        texts += [client.get(path).text for path in OPEN]
    assert not any(secret in text for text in texts for secret in (token, ADMIN, token[-20:]))
