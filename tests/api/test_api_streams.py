"""Streams: the first token at once, a client that goes away, a slow client; and the money."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import httpx

from deployments.simulator import Fault, FaultMatch, FaultRule
from tasks.adapters.database import Database, open_database
from tasks.adapters.ledger import Ledger
from tests.api.conftest import RunningApi

T = TypeVar("T")
ASK: dict[str, Any] = {
    "model": "openai/gpt-4o-mini",
    "messages": [{"role": "user", "content": "Write a long report about the deployment"}],
    "stream": True,
    "max_tokens": 400,
}


def _in_database(api: RunningApi, work: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        assert api.settings.database_url is not None
        async with open_database(api.settings.database_url.get_secret_value()) as database:
            return await work(database)

    return asyncio.run(run())


def _fault(api: RunningApi, fault: Fault, **options: Any) -> None:
    api.simulator.add_fault(FaultRule(match=FaultMatch(), fault=fault, **options))


def _events(lines: Any) -> list[dict[str, Any]]:
    payloads = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert payloads[-1] == "[DONE]"
    return [json.loads(payload) for payload in payloads[:-1]]


def _settled(api: RunningApi) -> tuple[Decimal, int]:
    """Wait until no attempt is open; return what is booked, and how many holds are left."""

    async def look(database: Database) -> tuple[Decimal, int]:
        row = await database.fetch_one(
            "SELECT coalesce(sum(actual_cost), 0) AS spent,"
            " count(*) FILTER (WHERE settled_at IS NULL)::int AS open FROM model_selections"
        )
        assert row is not None
        return row["spent"], row["open"]

    deadline = time.monotonic() + 30
    while True:
        spent, still_open = _in_database(api, look)
        if still_open == 0 or time.monotonic() > deadline:
            return spent, still_open
        time.sleep(0.2)


def test_first_token_comes_long_before_the_last(api: RunningApi) -> None:
    _fault(api, Fault.SLOW_DRIP, seconds=1.5)
    started, times = time.monotonic(), []
    with api.client() as client, client.stream("POST", "/v1/chat/completions", json=ASK) as answer:
        assert answer.headers["x-switchyard-model"] == ASK["model"]
        for line in answer.iter_lines():
            if line.startswith("data: "):
                times.append(time.monotonic() - started)
    assert len(times) > 5
    assert times[0] < times[-1] / 2


def test_slow_model_is_named_before_its_first_token(api: RunningApi) -> None:
    _fault(api, Fault.HANG, seconds=3.0)
    with api.client() as client, client.stream("POST", "/v1/chat/completions", json=ASK) as answer:
        lines = answer.iter_lines()
        started = time.monotonic()
        first = json.loads(next(line for line in lines if line).removeprefix("data: "))
        assert time.monotonic() - started < 2.5
        assert first["model"] == ASK["model"] and first["switchyard"]["policy"]
        rest = _events(lines)
    assert rest[-1]["choices"] == [] and (rest[-1].get("usage") or rest[-1].get("error"))


def _leave(api: RunningApi, fault: Fault, events: int) -> str:
    """Ask for a stream, read so many events and go away; return the decision."""
    _fault(api, fault, seconds=8.0)
    with api.client() as client, client.stream("POST", "/v1/chat/completions", json=ASK) as answer:
        lines = (line for line in answer.iter_lines() if line)
        for _ in range(events):
            next(lines)
        return answer.headers["x-switchyard-decision"]


def _result(api: RunningApi, decision: str) -> dict[str, Any]:
    """Return how the decision ended, once it has."""
    with api.client() as client:
        for _ in range(100):
            answer = client.get(f"/api/routing/tasks/{decision}")
            if answer.status_code == 200:
                return dict(answer.json())
            time.sleep(0.1)
    raise AssertionError("the decision did not end")


def test_client_that_goes_away_midway_cancels_upstream_and_pays_what_it_cost(
    api: RunningApi,
) -> None:
    decision = _leave(api, Fault.SLOW_DRIP, events=2)
    result = _result(api, decision)
    assert (result["status"], result["reasons"][-1]) == ("failed", "the client went away")
    spent, still_open = _settled(api)
    assert (spent, still_open) == (sum(charge.cost for charge in api.simulator.charges), 0)
    assert all(charge.cancelled for charge in api.simulator.charges)
    assert _in_database(api, lambda database: Ledger(database).audit()).is_clean
    assert _result(api, decision)["cost_usd"] == str(spent.normalize())


def test_client_that_goes_away_before_the_first_token_leaves_its_hold_until_it_is_known(
    api: RunningApi,
) -> None:
    result = _result(api, _leave(api, Fault.HANG, events=1))
    assert result["attempts"][0]["outcome"] == "cancelled"
    assert result["attempts"][0]["cost_usd"] is None
    with api.client() as client:
        budgets = client.get("/api/routing/budgets").json()["items"]
    held = next(row for row in budgets if row["budget_type"] == "global")["reserved_amount"]
    assert Decimal(held) == Decimal(result["estimated_cost_usd"]) > 0


def test_slow_client_slows_the_upstream_and_loses_nothing(api: RunningApi) -> None:
    _fault(api, Fault.HUGE_BODY, size=600_000)
    body = json.dumps(ASK).encode()
    with socket.create_connection((httpx.URL(api.url).host, httpx.URL(api.url).port or 80)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        head = f"Host: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n" + head.encode() + body)
        time.sleep(1)
        pieces = []
        while piece := raw.recv(65_536):
            pieces.append(piece)
    assert b"".join(pieces).rstrip().endswith(b"0")
    assert b"data: [DONE]" in b"".join(pieces)
    assert _settled(api)[1] == 0


def test_stored_answer_is_streamed_again_under_its_key(api: RunningApi) -> None:
    asked = ASK | {"metadata": {"idempotency_key": "once"}}
    texts = []
    with api.client() as client:
        for _ in range(2):
            with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
                events = _events(answer.iter_lines())
            choices = [choice for event in events for choice in event["choices"]]
            texts.append("".join(choice["delta"].get("content") or "" for choice in choices))
            assert events[-1]["switchyard"]["cost_usd"] != "0"
        other = client.post("/v1/chat/completions", json=asked | {"max_tokens": 7})
    assert texts[0] == texts[1] != ""
    assert len(api.simulator.charges) == 1
    assert other.status_code == 409
