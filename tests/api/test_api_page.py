"""The spend page: whole without any other host, and nothing that a text could break out of."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.api.conftest import RunningApi

MARKUP = "<img src=x onerror=alert(1)> Is it up?"
FILES = ("/", "/page/page.css", "/page/page.js")


def test_page_asks_no_other_host_and_may_not(api: RunningApi) -> None:
    with api.client() as client:
        for path in FILES:
            answer = client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            others = set(re.findall(r"https?://[\w./]+", answer.text))
            assert others <= {"http://www.w3.org/2000/svg"}


def test_page_puts_texts_in_as_texts_only(api: RunningApi) -> None:
    with api.client() as client:
        script, page = client.get("/page/page.js").text, client.get("/").text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)
    assert not re.search(r"<script>|\son\w+=|\sstyle=", page)


def test_page_is_told_where_prefect_is(api: RunningApi) -> None:
    with api.client() as client:
        assert client.get("/page/facts").json() == {"simulated": True, "prefect_ui_url": None}


def test_page_shows_every_kind_of_saving(api: RunningApi) -> None:
    with api.client() as client:
        script, page = client.get("/page/page.js").text, client.get("/").text
        kinds = client.get("/api/routing/costs").json()["saved_by_kind"]
    shown = re.search(r"SAVED_BY = \{(.*?)\}", script, re.DOTALL)
    assert shown is not None and set(re.findall(r"(\w+):", shown[1])) == set(kinds)
    assert 'id="saved"' in page


def test_texts_are_shown_only_where_storing_them_is_switched_on(api: RunningApi) -> None:
    with api.client() as client:
        unstored = _routed(client)["texts"]
        policy = {
            key: value
            for key, value in _policy(client, "ops").items()
            if key not in ("version", "is_active")
        }
        stored = client.post("/api/routing/policies", json=policy | {"store_prompts": True})
        assert stored.is_success, stored.text
        texts = _routed(client)["texts"]
    assert unstored is None
    assert texts["messages"] == [{"role": "user", "content": MARKUP}]
    assert texts["content"]


def _routed(client: httpx.Client) -> dict[str, Any]:
    request = {"prompt": MARKUP, "policy": "ops"}
    result = client.post("/api/routing/tasks", json=request).json()
    document: dict[str, Any] = client.get(f"/api/routing/decisions/{result['decision_id']}").json()
    return document


def _policy(client: httpx.Client, name: str) -> dict[str, Any]:
    items = client.get("/api/routing/policies").json()["items"]
    found: dict[str, Any] = next(item for item in items if item["name"] == name)
    return found
