"""The official SDKs work against the simulator unmodified."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter import OpenRouter

from deployments.simulator import RunningSimulator, SimulatorConfig, UsageChunk, running_simulator
from tests.sdks import NO_RETRIES, openai_client, openrouter_client

ASK: list[Any] = [{"role": "user", "content": "Summarise why the deployment failed"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "restart_service",
        "description": "Restarts a service",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "force": {"type": "boolean"}},
            "required": ["name", "force"],
            "additionalProperties": False,
        },
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "severity": {"type": "string", "enum": ["low", "high"]},
        "causes": {"type": "array", "items": {"type": "string"}, "minItems": 2},
    },
    "required": ["severity", "causes"],
    "additionalProperties": False,
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "report", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSimulator]:
    with running_simulator(SimulatorConfig(latency_scale=0)) as simulator:
        yield simulator


@pytest.fixture
def openrouter(running: RunningSimulator) -> Iterator[OpenRouter]:
    with openrouter_client(running.url) as sdk:
        yield sdk


@pytest.fixture
def openai_sdk(running: RunningSimulator) -> Iterator[openai.OpenAI]:
    with openai_client(running.url) as sdk:
        yield sdk


def test_openrouter_sdk_reads_a_plain_answer(openrouter: OpenRouter) -> None:
    result = openrouter.chat.send(model="openai/gpt-4o-mini", messages=ASK, max_tokens=200)
    assert result.choices[0].message.content
    assert result.choices[0].finish_reason == "stop"
    assert result.usage is not None
    assert result.usage.cost == pytest.approx(
        result.usage.prompt_tokens * 0.15e-6 + result.usage.completion_tokens * 0.60e-6
    )


@pytest.mark.anyio
async def test_openrouter_sdk_reads_a_plain_answer_asynchronously(
    running: RunningSimulator,
) -> None:
    async with OpenRouter(
        api_key="k", server_url=running.url, retry_config=NO_RETRIES, timeout_ms=10_000
    ) as sdk:
        result = await sdk.chat.send_async(model="openai/gpt-5", messages=ASK, max_tokens=800)
        assert result.usage is not None
        assert result.choices[0].message.reasoning


def test_openrouter_sdk_reads_a_stream(openrouter: OpenRouter) -> None:
    text, usage = "", None
    stream = openrouter.chat.send(model="openai/gpt-4o", messages=ASK, stream=True)
    with stream as events:
        for event in events:
            text += "".join(choice.delta.content or "" for choice in event.choices)
            usage = event.usage or usage
    plain = openrouter.chat.send(model="openai/gpt-4o", messages=ASK)
    assert text == plain.choices[0].message.content
    assert usage is not None and plain.usage is not None
    assert usage.cost == plain.usage.cost


@pytest.mark.anyio
async def test_openrouter_sdk_reads_a_stream_asynchronously(running: RunningSimulator) -> None:
    async with OpenRouter(
        api_key="k", server_url=running.url, retry_config=NO_RETRIES, timeout_ms=10_000
    ) as sdk:
        stream = await sdk.chat.send_async(model="openai/gpt-4o", messages=ASK, stream=True)
        async with stream as events:
            chunks = [event async for event in events]
    assert chunks[-1].usage is not None


def test_openrouter_sdk_reads_tool_calls(openrouter: OpenRouter) -> None:
    result = openrouter.chat.send(
        model="openai/gpt-4o", messages=ASK, tools=[TOOL], tool_choice="required"
    )
    calls = result.choices[0].message.tool_calls
    assert result.choices[0].finish_reason == "tool_calls"
    assert calls and calls[0].function.name == "restart_service"
    assert set(json.loads(calls[0].function.arguments)) == {"name", "force"}


def test_openrouter_sdk_reads_structured_output(openrouter: OpenRouter) -> None:
    result = openrouter.chat.send(model="openai/gpt-4o", messages=ASK, response_format=FORMAT)
    report = json.loads(str(result.choices[0].message.content))
    assert report["severity"] in ("low", "high") and len(report["causes"]) >= 2


def test_openrouter_sdk_lists_models_and_endpoints(openrouter: OpenRouter) -> None:
    listed = openrouter.models.list()
    assert listed is not None
    models = {model.id: model for model in listed.result.data}
    assert models["openai/gpt-4o-mini"].pricing.prompt == "0.00000015"
    assert models["openai/gpt-3.5-turbo"].context_length == 16385
    assert not {"anthropic/claude-3-opus", "anthropic/claude-3.5-sonnet"} & set(models)
    assert len(models) >= 35
    for model_id in list(models)[::7]:
        author, slug = model_id.split("/")
        endpoints = openrouter.endpoints.list(author=author, slug=slug).data.endpoints
        assert endpoints[0].pricing.prompt == models[model_id].pricing.prompt


@pytest.mark.filterwarnings("ignore:.*DEPRECATED")  # the SDK's own, for the field `rate_limit`
def test_openrouter_sdk_reads_key_credits_and_generation(
    openrouter: OpenRouter, running: RunningSimulator
) -> None:
    openrouter.chat.send(model="openai/gpt-4o", messages=ASK)
    charge = running.charges[-1]
    key = openrouter.api_keys.get_current_key_metadata().data
    assert key.usage >= float(charge.cost) and key.usage_daily == key.usage
    balance = openrouter.credits.get_credits().data
    assert balance.total_credits > balance.total_usage >= key.usage
    generation = openrouter.generations.get_generation(id=charge.generation_id).data
    assert generation.total_cost == float(charge.cost)
    assert generation.native_tokens_prompt == charge.prompt_tokens


def test_openrouter_sdk_reads_embeddings(openrouter: OpenRouter) -> None:
    answer = openrouter.embeddings.generate(
        model="openai/text-embedding-3-small", input=["one", "two"]
    )
    assert not isinstance(answer, str)
    assert [len(row.embedding) for row in answer.data] == [1536, 1536]


def test_openai_sdk_reads_a_plain_answer(openai_sdk: openai.OpenAI) -> None:
    raw = openai_sdk.chat.completions.with_raw_response.create(
        model="anthropic/claude-sonnet-5.5", messages=ASK, max_tokens=300
    )
    assert raw.headers["x-generation-id"].startswith("gen-")
    ChatCompletion.model_validate(json.loads(raw.http_response.text))
    assert raw.parse().choices[0].message.content


@pytest.mark.anyio
async def test_openai_sdk_reads_answers_asynchronously(running: RunningSimulator) -> None:
    async with openai.AsyncOpenAI(
        base_url=running.url, api_key="k", max_retries=0, timeout=10
    ) as client:
        plain = await client.chat.completions.create(model="openai/gpt-4o", messages=ASK)
        stream = await client.chat.completions.create(
            model="openai/gpt-4o", messages=ASK, stream=True
        )
        text = ""
        async for chunk in stream:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert text == plain.choices[0].message.content


def test_openai_sdk_streams_tool_calls(openai_sdk: openai.OpenAI) -> None:
    with openai_sdk.chat.completions.stream(
        model="openai/gpt-4o", messages=ASK, tools=[TOOL], tool_choice="required"
    ) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls and set(json.loads(calls[0].function.arguments)) == {"name", "force"}
    assert final.usage is not None


def test_openai_sdk_parses_structured_output(openai_sdk: openai.OpenAI) -> None:
    result = openai_sdk.chat.completions.create(
        model="openai/gpt-4o", messages=ASK, response_format=FORMAT
    )
    assert json.loads(str(result.choices[0].message.content))["severity"] in ("low", "high")


def test_openai_sdk_lists_models_and_embeds(openai_sdk: openai.OpenAI) -> None:
    assert "openai/gpt-4o" in {model.id for model in openai_sdk.models.list()}
    answer = openai_sdk.embeddings.create(model="openai/text-embedding-3-small", input="one")
    assert sum(x * x for x in answer.data[0].embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("variant", list(UsageChunk))
def test_both_sdks_find_the_usage_in_every_variant_of_the_last_chunk(variant: UsageChunk) -> None:
    config = SimulatorConfig(latency_scale=0, usage_chunk=variant)
    with running_simulator(config) as running:
        with openai.OpenAI(base_url=running.url, api_key="k", timeout=10) as client:
            stream = client.chat.completions.create(
                model="openai/gpt-4o", messages=ASK, stream=True
            )
            chunks = list(stream)
        with (
            OpenRouter(api_key="k", server_url=running.url, retry_config=NO_RETRIES) as sdk,
            sdk.chat.send(model="openai/gpt-4o", messages=ASK, stream=True) as events,
        ):
            others = list(events)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump() | {"service_tier": None})
    assert chunks[-1].usage is not None and others[-1].usage is not None
    finishes = [c.choices[0].finish_reason if c.choices else "no choice" for c in chunks[-2:]]
    last = {"empty_choices": "no choice", "repeated_finish": "stop", "null_finish": None}
    assert finishes == ["stop", last[variant]]


def test_openrouter_sdk_works_with_batches_as_documented(running: RunningSimulator) -> None:
    with openrouter_client(running.url) as sdk:
        body = {"messages": ASK, "max_tokens": 20}
        made = sdk.batch.create_batches(
            endpoint="/v1/chat/completions",
            model="openai/gpt-5-mini",
            requests=[{"custom_id": "a", "body": body}, {"custom_id": "b", "body": {}}],
        )
        assert made.status == "validating" and made.results is None
        listed = sdk.batch.list(limit=1)
        assert listed is not None and listed.result.data[0].id == made.id
        deadline_s = time.monotonic() + 20
        while (batch := sdk.batch.get_batches(id=made.id)).status != "completed":
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        assert batch.results is not None and batch.usage is not None
        answered, refused = batch.results
        assert answered.response is not None and answered.response.status_code == 200
        assert refused.error is not None and refused.error.error_type == "invalid_request"
        charged = sum(one.cost for one in running.charges if one.key == running.charges[-1].key)
        assert batch.usage.cost is not None and 0 < batch.usage.cost <= float(charged)
        assert sdk.batch.delete(id=made.id).id == made.id
