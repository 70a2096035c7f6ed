"""A streamed answer that several models are asked for: only the accepted one is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.simulator import RunningSimulator
from tests.sums import AGREED, CHEAP, DEAR, MIDDLE, erring_simulator, sums_policy


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[RunningSimulator]:
    with erring_simulator(tmp_path, {CHEAP: 0.0, MIDDLE: 1.0, DEAR: 1.0}) as running:
        yield running


def test_stream_brings_the_third_models_answer_where_two_differ(client: httpx.Client) -> None:
    policy = sums_policy(AGREED, task_type="*", task_types=[], escalation_check="agreement")
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
