"""Backtests, dry runs and canaries over HTTP."""

from __future__ import annotations

from typing import Any

import httpx


def ops(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    items = client.get("/api/routing/policies").json()["items"]
    (policy,) = [item for item in items if item["name"] == "ops"]
    return policy | changes


def test_change_is_tried_put_on_trial_and_promoted(client: httpx.Client) -> None:
    asked = {"prompt": "Is it up?", "task_type": "health_check"}
    assert client.post("/api/routing/tasks", json=asked).json()["policy_version"] == 1
    changed = ops(client, max_tokens=77)

    report = client.post("/api/routing/backtest", json=changed).json()
    assert (report["decisions"], report["affected"]) == (1, 1)
    tried = client.post("/api/routing/policies", params={"dry_run": True}, json=changed).json()
    assert tried["changes"][0] == {
        "policy": "ops", "field": "max_tokens", "before": 1000, "after": 77,
    }  # fmt: skip
    assert tried["backtest"]["decisions"] == 1

    begun = client.post("/api/routing/policies", params={"canary": 0.9999}, json=changed).json()
    assert begun["items"] == [{"name": "ops", "version": 2, "change": "canary"}]
    assert client.post("/api/routing/tasks", json=asked).json()["policy_version"] == 2
    (canary,) = client.get("/api/routing/canaries").json()["items"]
    assert (canary["status"], canary["canary"]["requests"]) == ("running", 1)

    ended = client.post("/api/routing/canaries/ops", json={"action": "promote", "reason": "good"})
    assert ended.json() == {
        "name": "ops", "version": 2, "status": "promoted", "end_reason": "good",
    }  # fmt: skip
    assert ops(client)["max_tokens"] == 77
    again = client.post("/api/routing/canaries/ops", json={"action": "abort"})
    assert (again.status_code, again.headers["content-type"]) == (404, "application/problem+json")
