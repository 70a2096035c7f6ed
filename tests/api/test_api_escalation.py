"""A streamed answer that several models are asked for: only the accepted one is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator

CHEAP, MIDDLE, DEAR = "openai/gpt-4.1-nano", "openai/gpt-4.1-mini", "openai/gpt-4o"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    config = SimulatorConfig(
        latency_scale=0,
        charge_log=tmp_path / "charges.jsonl",
        success_probability={CHEAP: 0.0, MIDDLE: 1.0, DEAR: 1.0},
    )
    with running_simulator(config) as running:
        yield running


def test_stream_brings_the_third_models_answer_where_two_differ(client: httpx.Client) -> None:
    policy = {
        "name": "sums",
        "models": [
            {"model": name, "priority": number}
            for number, name in enumerate((CHEAP, MIDDLE, DEAR), start=1)
        ],
        "max_cost_per_task": "0.10",
        "max_tokens": 200,
        "escalation": "on",
        "escalation_check": "agreement",
        "orders": [
            {
                "task_type": "*",
                "models": [CHEAP, MIDDLE, DEAR],
                "escalates": True,
                "check": "agreement",
            }
        ],
    }
    assert client.post("/api/routing/policies", json=policy).status_code < 300
    asked = {
        "model": "policy:sums",
        "messages": [{"role": "user", "content": "What is 17 + 25?"}],
        "stream": True,
    }
    with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        assert answer.headers["x-switchyard-model"] == DEAR
        texts = [text.removeprefix("data: ") for text in answer.iter_lines() if text]
    chunks = [json.loads(text) for text in texts[:-1]]
    said = [c["choices"][0]["delta"].get("content") for c in chunks if c.get("choices")]
    assert "".join(text for text in said if text) == "42"
