"""The cache over HTTP: whole and streamed hits, whose they are, what is shown and dropped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from models.api_key import Scope
from tasks.adapters.database import open_database
from tasks.adapters.store.keys import create_key, rotate_key
from tests.api.conftest import RunningApi, StartApi

ADMIN = "an-admin-key-of-the-test"
ASK: dict[str, Any] = {
    "model": "policy:ops",
    "messages": [{"role": "user", "content": "Is the payment service up?"}],
}


def _with_cache(client: httpx.Client, **cache: Any) -> None:
    (policy,) = [
        one for one in client.get("/api/routing/policies").json()["items"] if one["name"] == "ops"
    ]
    policy.pop("version")
    body = policy | {"cache": {"ttl_s": 600} | cache}
    assert client.post("/api/routing/policies", json=body).status_code == 200


def _events(text: str) -> list[dict[str, Any]]:
    payloads = [line.removeprefix("data: ") for line in text.splitlines() if line[:5] == "data:"]
    assert payloads[-1] == "[DONE]"
    return [json.loads(payload) for payload in payloads[:-1]]


@pytest.mark.parametrize("lane", ["ledger", "plain"])
def test_equal_chat_is_answered_again_for_nothing(api: RunningApi, lane: str) -> None:
    # A key of the caller takes the plain steps, none the gathered ones.
    keys = [{"X-Switchyard-Idempotency-Key": f"k{n}"} if lane == "plain" else {} for n in (1, 2)]
    with api.client() as client:
        _with_cache(client)
        first, again = [client.post("/v1/chat/completions", json=ASK, headers=k) for k in keys]
    assert len(api.simulator.charges) == 1
    assert first.json()["choices"] == again.json()["choices"]
    assert [one.json()["switchyard"]["cached"] for one in (first, again)] == [False, True]
    assert again.headers["X-Switchyard-Cost-USD"] == "0"
    assert again.headers["X-Switchyard-Model"] == first.headers["X-Switchyard-Model"]


def test_streaming_client_gets_a_hit_as_a_stream(api: RunningApi) -> None:
    with api.client() as client:
        _with_cache(client)
        whole = client.post("/v1/chat/completions", json=ASK).json()
        events = _events(client.post("/v1/chat/completions", json=ASK | {"stream": True}).text)
    text = "".join(
        event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]
    )
    assert text == whole["choices"][0]["message"]["content"]
    reasons = [event["choices"][0]["finish_reason"] for event in events if event["choices"]]
    assert [reason for reason in reasons if reason] == ["stop"]
    assert events[-1]["switchyard"]["cost_usd"] == "0"
    assert events[-1]["switchyard"]["cached"] is True
    assert len(api.simulator.charges) == 1


def _in_database(api: RunningApi, work: Any) -> Any:
    async def run() -> Any:
        assert api.settings.database_url is not None
        async with open_database(api.settings.database_url.get_secret_value()) as database:
            return await work(database)

    return asyncio.run(run())


def _key(api: RunningApi, name: str, **options: Any) -> str:
    _, token = _in_database(api, lambda db: create_key(db, name, [Scope.ROUTE], **options))
    return str(token)


def _chat(api: RunningApi, token: str, **fields: Any) -> bool:
    """Ask once; return whether the answer came from the cache."""
    with api.client(token) as client:
        answer = client.post("/v1/chat/completions", json=ASK | fields).json()
    cached: bool = answer["switchyard"]["cached"]
    return cached


def test_keys_never_see_each_others_answers_whatever_they_claim(start_api: StartApi) -> None:
    api = start_api(key=ADMIN)
    with api.client(ADMIN) as client:
        _with_cache(client)
    one, two = _key(api, "one", worker_id="w"), _key(api, "two", worker_id="w")
    assert [_chat(api, one), _chat(api, one), _chat(api, two)] == [False, True, False]
    prompt = {"prompt": "Is it up?", "policy": "ops"}
    with api.client(one) as client:
        made = client.post("/api/routing/tasks", json=prompt).json()
    stolen = {"tenant": _tenant(api, made["decision_id"])}
    with api.client(two) as client:
        asked = client.post("/api/routing/tasks", json=prompt | stolen).json()
    assert (made["cached"], asked["cached"]) == (False, False)


def _tenant(api: RunningApi, decision_id: str) -> str:
    async def look(database: Any) -> Any:
        query = "SELECT id FROM api_keys WHERE name = 'one'"
        return (await database.fetch_one(query))["id"]

    return str(_in_database(api, look))


def test_rotated_key_keeps_its_answers(start_api: StartApi) -> None:
    api = start_api(key=ADMIN)
    with api.client(ADMIN) as client:
        _with_cache(client)
    assert not _chat(api, _key(api, "one"))
    _, fresh = _in_database(api, lambda db: rotate_key(db, "one"))
    assert _chat(api, fresh)


def test_keys_share_answers_where_the_policy_says_so(start_api: StartApi) -> None:
    api = start_api(key=ADMIN)
    with api.client(ADMIN) as client:
        _with_cache(client, shared=True)
    assert [_chat(api, _key(api, name)) for name in ("one", "two")] == [False, True]


def test_cache_is_shown_and_dropped(api: RunningApi) -> None:
    with api.client() as client:
        _with_cache(client)
        for _ in range(3):
            client.post("/v1/chat/completions", json=ASK)
        shown = client.get("/api/routing/cache").json()
        assert (shown["entries"], shown["hits"], shown["in_flight"]) == (1, 2, 0)
        assert 0 < shown["bytes"] < shown["bytes_max"]
        assert client.delete("/api/routing/cache?policy=nope").status_code == 404
        assert client.delete("/api/routing/cache?policy=code").json() == {"purged": 0}
        assert client.delete("/api/routing/cache").json() == {"purged": 1}
        assert client.get("/api/routing/cache").json()["entries"] == 0
