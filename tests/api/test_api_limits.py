from __future__ import annotations

import pytest

from deployments.simulator import Fault, FaultMatch, FaultRule


def test_limit_is_set_listed_counted_and_removed(client):
    put = client.put("/api/routing/limits", json={"model": "openai/gpt-4o", "requests": 60})
    assert put.status_code == 200
    asked = {"prompt": "Fix the bug.", "task_type": "fix_bug"}
    assert client.post("/api/routing/tasks", json=asked).json()["status"] == "completed"
    (found,) = client.get("/api/routing/limits").json()["items"]
    assert (found["model"], found["source"], found["requests"]) == ("openai/gpt-4o", "set", 60)
    assert (found["turns"], found["waiting"], found["refusals"]) == (1, 0, 0)
    metrics = client.get("/metrics").text
    for name, label, value in (
        ("switchyard_rate_limit", 'part="per_minute"', "60.0"),
        ("switchyard_rate_limit_turns_total", 'outcome="at_once"', "1.0"),
    ):
        assert f'{name}{{model="openai/gpt-4o",{label},source="set"}} {value}' in metrics
    assert client.put("/api/routing/limits", json={"model": "openai/gpt-4o"}).json()["items"] == []


@pytest.mark.parametrize(
    "body", [{}, {"model": "x"}, {"model": "*", "requests": 0}, {"model": "*", "rpm": 5}]
)
def test_wrong_limit_is_refused_with_its_problem(client, body):
    answer = client.put("/api/routing/limits", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_hedged_decisions_are_counted_by_who_won(client, simulator):
    (policy,) = [
        p for p in client.get("/api/routing/policies").json()["items"] if p["name"] == "ops"
    ]
    policy.pop("version")
    hedged = policy | {"hedge": {"after": 50}}
    assert client.post("/api/routing/policies", json=hedged).status_code == 200
    first = min(policy["models"], key=lambda model: model["priority"])["model"]
    match = FaultMatch(model=first)
    simulator.add_fault(FaultRule(fault=Fault.SLOW_DRIP, match=match, seconds=30, times=1))
    result = client.post("/api/routing/tasks", json={"prompt": "Up?", "policy": "ops"}).json()
    assert (result["hedged"], result["attempts"][0]["outcome"]) == ("second", "cancelled")
    metrics = client.get("/metrics").text
    assert 'switchyard_hedges_total{policy="ops",winner="second"} 1.0' in metrics
