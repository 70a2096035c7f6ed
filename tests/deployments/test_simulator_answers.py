"""Answers fit the task, are the same for the same seed, and count and cost what they should."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator
from deployments.simulator.catalogue import catalogue, find_model
from deployments.simulator.draws import Draws
from deployments.simulator.schema_instance import instance_of
from deployments.simulator.task_kind import task_kind
from deployments.simulator.tokens import count_tokens, cut_to_tokens, prompt_tokens
from deployments.simulator.usage import Tokens, bill_for

SCHEMAS: list[Any] = [
    {"type": "integer", "minimum": 3, "maximum": 9, "multipleOf": 3},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "maximum": -5},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 3},
    {"type": "string", "format": "date-time"},
    {"type": ["null", "boolean"]},
    {"const": "fixed"},
    {"enum": [1, "two", None]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    {"type": "array", "items": {"type": "string"}, "maxItems": 0},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}], "type": "object"},
    {
        "type": "object",
        "properties": {
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}},
            "owner": {"type": ["string", "null"]},
        },
        "required": ["steps", "owner"],
        "additionalProperties": False,
        "$defs": {
            "step": {
                "type": "object",
                "properties": {
                    "title": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/step"}},
                },
                "required": ["title"],
                "additionalProperties": False,
            }
        },
    },
]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    config = SimulatorConfig(
        latency_scale=0, success_probability={"openai/gpt-3.5-turbo": 0.0, "*#choice": 0.0}
    )
    with running_simulator(config) as running, client_of(running) as client:
        yield client


def client_of(running: RunningSimulator) -> httpx.Client:
    headers = {"Authorization": "Bearer k"}
    return httpx.Client(base_url=running.url, headers=headers, timeout=10)


def content(client: httpx.Client, prompt: str, **change: Any) -> str:
    body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": prompt}]} | change
    text = client.post("/chat/completions", json=body).json()["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("What is 17 * 23?", "391"),
        ("Investigate the KeyError in billing.py", "KeyError"),
        ("Fix the bug in `def total(rows)`", "```python\ndef total("),
        ("Summarize the incident of Monday", "main point"),
        ("Check the status of the payments service", "OK"),
        ("Research two databases and compare them", "**Recommendation.**"),
        ("Plan the migration of a table", "1. "),
        ("What is the capital of France?", "Paris"),
    ],
)
def test_answer_fits_the_task(client: httpx.Client, prompt: str, words: str) -> None:
    assert words in content(client, prompt)


def test_model_that_never_succeeds_answers_wrongly_and_the_log_says_so(
    client: httpx.Client,
) -> None:
    weak = {"model": "openai/gpt-3.5-turbo"}
    assert content(client, "What is 17 * 23?", **weak) != "391"
    assert len(content(client, "Research two databases", **weak)) < 80
    assert json.loads(content(client, "x", response_format={"type": "json_object"}, **weak)) == {}
    options = "Answer with one of: bug, feature"
    assert content(client, options) not in (content(client, options + "!"), "")


def test_answers_depend_on_the_seed_the_model_and_the_messages_alone() -> None:
    def asked(seed: int) -> list[tuple[Any, ...]]:
        config = SimulatorConfig(latency_scale=0, seed=seed, success_probability={"*": 0.5})
        with running_simulator(config) as running, client_of(running) as client:
            for i in range(12):
                content(client, f"Investigate error number {i}", max_tokens=300)
            return [(c.answer, c.completion_tokens, c.cost) for c in running.charges]

    first = asked(1)
    assert first == asked(1) and first != asked(2)
    assert {row[0] for row in first} == {"good", "poor"}


def test_answer_ends_at_max_tokens_and_at_a_stop_text(client: httpx.Client) -> None:
    body = {
        "model": "openai/gpt-4o",
        "messages": [{"role": "user", "content": "Research two databases"}],
    }
    short = client.post("/chat/completions", json=body | {"max_tokens": 16}).json()
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 16
    stopped = client.post("/chat/completions", json=body | {"stop": ["Recommendation"]}).json()
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert "Recommendation" not in stopped["choices"][0]["message"]["content"]


@pytest.mark.parametrize("model_id", list(catalogue()))
def test_completion_never_exceeds_max_tokens(client: httpx.Client, model_id: str) -> None:
    body = {"model": model_id, "messages": [{"role": "user", "content": "Explain x in depth"}]}
    for limit in (1, 7, 60):
        answer = client.post("/chat/completions", json=body | {"max_tokens": limit}).json()
        assert 1 <= answer["usage"]["completion_tokens"] <= limit


def test_reasoning_counts_as_completion_and_obeys_the_request(client: httpx.Client) -> None:
    def usage(model: str, **reasoning: Any) -> Any:
        body = {"model": model, "messages": [{"role": "user", "content": "hard question"}]}
        answer = client.post("/chat/completions", json=body | {"reasoning": reasoning}).json()
        details = answer["usage"]["completion_tokens_details"]
        assert details["reasoning_tokens"] <= answer["usage"]["completion_tokens"]
        return details["reasoning_tokens"]

    assert usage("openai/gpt-5", effort="high") > usage("openai/gpt-5", effort="low") > 0
    assert usage("openai/gpt-5", enabled=False) == 0
    assert (
        usage("anthropic/claude-sonnet-5.5")
        == 0
        < usage("anthropic/claude-sonnet-5.5", max_tokens=50)
    )
    assert usage("openai/gpt-4o", effort="high") == 0


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:40])
def test_structured_output_satisfies_its_schema(schema: Any) -> None:
    for root in (b"a", b"b", b"c"):
        jsonschema.validate(instance_of(schema, Draws(root)), schema)


def test_tools_are_called_when_required_named_or_mentioned(client: httpx.Client) -> None:
    def finish(prompt: str, choice: Any, *more: Any) -> Any:
        tool = {"type": "function", "function": {"name": "read_file", "parameters": SCHEMAS[-1]}}
        messages = [{"role": "user", "content": prompt}, *more]
        body = {"model": "openai/gpt-4o", "messages": messages, "tools": [tool]}
        answer = client.post("/chat/completions", json=body | {"tool_choice": choice}).json()
        for call in answer["choices"][0]["message"].get("tool_calls", []):
            jsonschema.validate(json.loads(call["function"]["arguments"]), SCHEMAS[-1])
        return answer["choices"][0]["finish_reason"]

    named = {"type": "function", "function": {"name": "read_file"}}
    assert finish("hello", "required") == finish("hello", named) == "tool_calls"
    assert finish("please read_file a.txt", "auto") == "tool_calls"
    assert finish("hello", "auto") == finish("please read_file a.txt", "none") == "stop"
    result = {"role": "tool", "tool_call_id": "c", "content": "42 lines"}
    assert finish("please read_file a.txt", "auto", result) == "stop"


@given(st.text(max_size=200), st.integers(min_value=50, max_value=130))
def test_token_count_stays_within_the_bytes(text: str, percent: int) -> None:
    assert 0 <= count_tokens(text, percent) <= len(text.encode())


@settings(max_examples=50)
@given(
    st.lists(st.text(max_size=80), min_size=1, max_size=6),
    st.sampled_from(["openai", "anthropic", "mistralai"]),
)
def test_prompt_tokens_stay_within_the_documented_bound(texts: list[str], author: str) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    extra = {"name": "tool", "parameters": {"type": "object"}}
    size = sum(len(text.encode()) for text in texts) + len(json.dumps(extra, separators=(",", ":")))
    assert prompt_tokens(messages, [extra], author) <= size + 8 * len(texts) + 8


def test_images_count_a_fixed_number_of_tokens() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}
    message = {"role": "user", "content": [{"type": "text", "text": "what?"}, image, image]}
    assert prompt_tokens([message], (), "openai") == 2 * 1000 + 2 + 4 + 3


@given(st.text(max_size=300), st.integers(min_value=0, max_value=40))
def test_cut_text_counts_no_more_than_allowed(text: str, tokens: int) -> None:
    assert count_tokens(cut_to_tokens(text, tokens)) <= tokens


def test_image_for_a_model_without_eyes_is_refused(client: httpx.Client) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = {
        "model": "deepseek/deepseek-v3.2",
        "messages": [{"role": "user", "content": [part]}],
    }
    assert client.post("/chat/completions", json=body).status_code == 404


def test_bill_reproduces_the_captured_answer() -> None:
    # 3 plain at $2.50/M + 20,240 written at $3.125/M = 0.0632575; 1,270 at $15/M = 0.01905
    model = find_model("openai/gpt-4o")
    assert model is not None
    mtok = Decimal(1_000_000)
    price = type(model.price)(
        prompt=Decimal("2.5") / mtok,
        completion=Decimal(15) / mtok,
        cache_write=Decimal("3.125") / mtok,
    )
    tokens = Tokens(prompt=20_243, completion=1_270, cache_write=20_240, reasoning=516)
    bill = bill_for(price, tokens)
    assert bill.prompt_cost == Decimal("0.0632575")
    assert bill.completion_cost == Decimal("0.01905")
    assert bill.cost == Decimal("0.0823075")


def test_prompt_above_the_threshold_pays_the_tier() -> None:
    model = find_model("openai/gpt-5.4")
    assert model is not None
    assert model.price_for(272_000).prompt == Decimal("0.0000025")
    assert model.price_for(272_001).prompt == Decimal("0.000005")
    assert model.price_for(272_001).cache_read == Decimal("0.0000005")


def test_long_prompts_sometimes_hit_the_cache_and_pay_less() -> None:
    with (
        running_simulator(SimulatorConfig(latency_scale=0)) as running,
        client_of(running) as client,
    ):
        for i in range(16):
            content(client, f"{i} " + "long context " * 700, max_tokens=20)
        hits = [charge for charge in running.charges if charge.cached_tokens]
    assert 0 < len(hits) < 16
    charge = hits[0]
    plain = charge.prompt_tokens - charge.cached_tokens
    assert charge.cost == plain * Decimal("0.0000025") + charge.cached_tokens * Decimal(
        "0.00000125"
    ) + charge.completion_tokens * Decimal("0.00001")


def test_prompt_kind_is_found_in_a_long_prompt_without_slowing_down() -> None:
    assert task_kind("a" * 1_000_000) == "query"
