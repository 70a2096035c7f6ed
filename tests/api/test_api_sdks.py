"""The official SDKs work against /v1 unmodified."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter import OpenRouter, errors
from pydantic import BaseModel

from deployments.simulator import Fault, FaultMatch, FaultRule
from tests.api.conftest import RunningApi
from tests.sdks import NO_RETRIES, openai_client, openrouter_client

ASK: list[Any] = [{"role": "user", "content": "Summarise why the deployment failed"}]
MODEL = "openai/gpt-4o-mini"
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
        "strict": True,
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


class Cause(BaseModel):
    severity: str
    cause: str


@pytest.fixture
def api(shared_api: RunningApi) -> Iterator[RunningApi]:
    yield shared_api
    shared_api.simulator.clear_faults()


@pytest.fixture
def openai_sdk(api: RunningApi) -> Iterator[openai.OpenAI]:
    with openai_client(f"{api.url}/v1") as sdk:
        yield sdk


@pytest.fixture
def openrouter(api: RunningApi) -> Iterator[OpenRouter]:
    with openrouter_client(f"{api.url}/v1") as sdk:
        yield sdk


def _fault(api: RunningApi, fault: Fault, **options: Any) -> None:
    api.simulator.add_fault(FaultRule(match=FaultMatch(), fault=fault, **options))


@pytest.mark.parametrize("model", ["auto", "policy:code", MODEL])
def test_openai_sdk_reads_a_plain_answer(openai_sdk: openai.OpenAI, model: str) -> None:
    raw = openai_sdk.chat.completions.with_raw_response.create(model=model, messages=ASK)
    body = json.loads(raw.http_response.text)
    completion = ChatCompletion.model_validate(body)
    assert completion.choices[0].message.content
    assert raw.headers["x-switchyard-model"] == completion.model
    assert raw.headers["x-switchyard-decision"] in completion.id
    assert raw.headers["x-switchyard-policy"]
    assert raw.headers["x-switchyard-cost-usd"] == body["switchyard"]["cost_usd"]
    assert float(body["switchyard"]["cost_usd"]) == body["usage"]["cost"] > 0


def test_openai_sdk_streams_with_model_first_and_cost_last(
    openai_sdk: openai.OpenAI, api: RunningApi
) -> None:
    before = len(api.simulator.charges)
    raw = openai_sdk.chat.completions.with_raw_response.create(
        model=MODEL, messages=ASK, stream=True, max_tokens=200
    )
    chunks = list(raw.parse())
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump())
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[0].model == raw.headers["x-switchyard-model"] == MODEL
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    charge = api.simulator.charges[before]
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["switchyard"]["cost_usd"] == str(charge.cost)


def test_openai_sdk_helper_collects_streamed_tool_calls(openai_sdk: openai.OpenAI) -> None:
    with openai_sdk.chat.completions.stream(
        model=MODEL, messages=ASK, tools=[TOOL], tool_choice="required"
    ) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls and set(json.loads(calls[0].function.arguments)) == {"name", "force"}
    assert final.choices[0].finish_reason == "tool_calls"


def test_openai_sdk_reads_tool_calls_and_takes_their_answers(openai_sdk: openai.OpenAI) -> None:
    asked = openai_sdk.chat.completions.create(
        model=MODEL, messages=ASK, tools=[TOOL], tool_choice="required"
    )
    message = asked.choices[0].message
    assert message.tool_calls
    answered = [{"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "done"}]
    history: Any = [*ASK, message.model_dump(exclude_none=True), *answered]
    final = openai_sdk.chat.completions.create(model=MODEL, messages=history)
    assert final.choices[0].message.content


def test_openai_sdk_parses_structured_output(openai_sdk: openai.OpenAI) -> None:
    parsed = openai_sdk.chat.completions.parse(model=MODEL, messages=ASK, response_format=Cause)
    assert isinstance(parsed.choices[0].message.parsed, Cause)


def test_openai_sdk_sends_images_and_unknown_fields(
    openai_sdk: openai.OpenAI, api: RunningApi
) -> None:
    image = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n" * 20).decode()
    parts: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": image}},
    ]
    answer = openai_sdk.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": parts}],
        user="somebody",
        seed=7,
        extra_body={"transforms": ["middle-out"]},
        metadata={"task_type": "simple_query", "worker": "w-7", "mine": "kept"},
    )
    assert answer.choices[0].message.content
    charge = api.simulator.charges[-1]
    assert charge.user == "somebody"
    assert charge.metadata["mine"] == "kept" and "task_type" not in charge.metadata
    decision = answer.id.removeprefix("chatcmpl-")
    with api.client() as client:
        explained = client.get(f"/api/routing/decisions/{decision}").json()
    assert (explained["task_type"], explained["worker_id"]) == ("simple_query", "w-7")


def test_openai_sdk_lists_models(openai_sdk: openai.OpenAI) -> None:
    models = list(openai_sdk.models.list())
    for model in models:
        Model.model_validate(model.model_dump())
    assert {"auto", "policy:code", MODEL} <= {model.id for model in models}


@pytest.mark.anyio
async def test_openai_sdk_reads_answers_asynchronously(api: RunningApi) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{api.url}/v1", api_key="k", max_retries=0, timeout=20
    ) as sdk:
        plain = await sdk.chat.completions.create(model=MODEL, messages=ASK)
        stream = await sdk.chat.completions.create(model=MODEL, messages=ASK, stream=True)
        text = ""
        async for chunk in stream:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert text == plain.choices[0].message.content


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        ({"model": MODEL, "messages": []}, 400, openai.BadRequestError),
        ({"model": "policy:nowhere", "messages": ASK}, 404, openai.NotFoundError),
        ({"model": "nobody/nothing", "messages": ASK}, 404, openai.NotFoundError),
        ({"model": MODEL, "messages": ASK, "temperature": 9}, 400, openai.BadRequestError),
        ({"model": MODEL, "messages": ASK, "n": 3}, 400, openai.BadRequestError),
        (
            {"model": MODEL, "messages": ASK, "metadata": {"max_cost_usd": "0.0000001"}},
            402,
            openai.APIStatusError,
        ),
    ],
)
def test_openai_sdk_raises_its_own_error(
    openai_sdk: openai.OpenAI, sent: Any, status: int, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind) as raised:
        openai_sdk.chat.completions.create(**sent)
    assert raised.value.status_code == status
    assert raised.value.message


@pytest.mark.parametrize("stream", [False, True])
def test_openai_sdk_gets_a_status_and_no_retry_when_every_model_failed(
    openai_sdk: openai.OpenAI, api: RunningApi, stream: bool
) -> None:
    _fault(api, Fault.SERVER_ERROR)
    with pytest.raises(openai.InternalServerError) as raised:
        openai_sdk.chat.completions.create(model="auto", messages=ASK, stream=stream)
    assert raised.value.status_code == 502
    assert raised.value.response.headers["x-should-retry"] == "false"


def test_openai_sdk_sees_no_fallback_before_the_first_token(
    openai_sdk: openai.OpenAI, api: RunningApi
) -> None:
    _fault(api, Fault.UNAVAILABLE, times=1)
    raw = openai_sdk.chat.completions.with_raw_response.create(
        model="policy:ops", messages=ASK, stream=True, max_tokens=100
    )
    chunks = list(raw.parse())
    assert {chunk.model for chunk in chunks} == {raw.headers["x-switchyard-model"]}
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["switchyard"]["attempts"] == 2


def test_openai_sdk_raises_when_a_stream_breaks_midway(
    openai_sdk: openai.OpenAI, api: RunningApi
) -> None:
    _fault(api, Fault.CUT)
    text = ""
    with pytest.raises(openai.APIError) as raised:
        for chunk in openai_sdk.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, max_tokens=300
        ):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            assert all(choice.finish_reason != "error" for choice in chunk.choices)
    assert text and "stream cut" in str(raised.value)


def test_openrouter_sdk_reads_a_plain_answer(openrouter: OpenRouter) -> None:
    result = openrouter.chat.send(model="auto", messages=ASK, max_tokens=200)
    assert result.choices[0].message.content
    assert result.choices[0].finish_reason == "stop"
    assert result.usage is not None and result.usage.cost


@pytest.mark.anyio
async def test_openrouter_sdk_reads_answers_asynchronously(api: RunningApi) -> None:
    async with OpenRouter(
        api_key="k", server_url=f"{api.url}/v1", retry_config=NO_RETRIES, timeout_ms=20_000
    ) as sdk:
        plain = await sdk.chat.send_async(model=MODEL, messages=ASK)
        stream = await sdk.chat.send_async(model=MODEL, messages=ASK, stream=True)
        text = ""
        async with stream as events:
            async for event in events:
                text += "".join(choice.delta.content or "" for choice in event.choices)
    assert text == plain.choices[0].message.content


def test_openrouter_sdk_reads_a_stream(openrouter: OpenRouter) -> None:
    with openrouter.chat.send(model=MODEL, messages=ASK, stream=True) as events:
        chunks = list(events)
    assert chunks[-1].usage is not None and chunks[-1].usage.cost
    assert chunks[-1].choices == []


def test_openrouter_sdk_reads_tool_calls_and_structured_output(openrouter: OpenRouter) -> None:
    result = openrouter.chat.send(model=MODEL, messages=ASK, tools=[TOOL], tool_choice="required")
    calls = result.choices[0].message.tool_calls
    assert calls and set(json.loads(calls[0].function.arguments)) == {"name", "force"}
    shaped = openrouter.chat.send(model=MODEL, messages=ASK, response_format=FORMAT)
    report = json.loads(str(shaped.choices[0].message.content))
    assert report["severity"] in ("low", "high") and len(report["causes"]) >= 2


def test_openrouter_sdk_lists_models(openrouter: OpenRouter) -> None:
    listed = openrouter.models.list()
    assert listed is not None
    prices = {model.id: model.pricing.prompt for model in listed.result.data}
    assert prices[MODEL] == "0.00000015" and prices["auto"] == "0"


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ({"model": "nobody/nothing", "messages": ASK}, errors.NotFoundResponseError),
        ({"model": MODEL, "messages": ASK, "max_tokens": -1}, errors.BadRequestResponseError),
    ],
)
def test_openrouter_sdk_raises_its_own_error(
    openrouter: OpenRouter, sent: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        openrouter.chat.send(**sent)


def test_openrouter_sdk_raises_its_own_error_when_every_model_failed(
    openrouter: OpenRouter, api: RunningApi
) -> None:
    _fault(api, Fault.SERVER_ERROR)
    with pytest.raises(errors.BadGatewayResponseError):
        openrouter.chat.send(model="auto", messages=ASK)
