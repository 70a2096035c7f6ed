"""Answers that go wrong on the way, and what each of them is charged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from openrouter import OpenRouter, errors

from deployments.simulator import (
    Fault,
    FaultRule,
    RunningSimulator,
    SimulatorConfig,
    running_simulator,
)
from tests.sdks import NO_RETRIES

ASK: list[Any] = [{"role": "user", "content": "Compare two queues in depth"}]
BODY = {"model": "openai/gpt-4o", "messages": ASK}


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSimulator]:
    with running_simulator(SimulatorConfig(latency_scale=0)) as simulator:
        yield simulator


@pytest.fixture
def running(shared: RunningSimulator) -> Iterator[RunningSimulator]:
    yield shared
    shared.clear_faults()


@pytest.fixture
def client(shared: RunningSimulator) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer k"}
    with httpx.Client(base_url=shared.url, headers=headers, timeout=10) as client:
        yield client


def ask(client: httpx.Client, **change: Any) -> Any:
    answer = client.post("/chat/completions", json=BODY | change)
    assert answer.status_code == 200
    return json.loads(answer.text, parse_float=Decimal)


def events(client: httpx.Client) -> list[str]:
    answer = client.post("/chat/completions", json=BODY | {"stream": True})
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def charged(running: RunningSimulator) -> Decimal:
    return running.charges[-1].true_cost


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault.CUT, httpx.RemoteProtocolError), (Fault.HANG_MID_BODY, httpx.ReadTimeout)],
)
def test_answer_that_stops_midway_is_charged_in_full(
    running: RunningSimulator, client: httpx.Client, fault: Fault, error: Any, stream: bool
) -> None:
    full = Decimal(ask(client)["usage"]["cost"])
    running.add_fault(FaultRule(fault=fault))
    with pytest.raises(error):
        client.post("/chat/completions", json=BODY | {"stream": stream}, timeout=0.5)
    assert charged(running) == full
    assert running.charges[-1].fault == fault


def test_hang_before_headers_is_charged_in_full(
    running: RunningSimulator, client: httpx.Client
) -> None:
    full = Decimal(ask(client)["usage"]["cost"])
    running.add_fault(FaultRule(fault=Fault.HANG))
    with pytest.raises(httpx.ReadTimeout):
        client.post("/chat/completions", json=BODY, timeout=0.3)
    assert charged(running) == full


def test_stream_without_done_ends_without_finish_and_usage(
    running: RunningSimulator, client: httpx.Client
) -> None:
    running.add_fault(FaultRule(fault=Fault.NO_DONE))
    sent = events(client)
    assert "[DONE]" not in sent
    chunks = [json.loads(line) for line in sent]
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert not any("usage" in chunk for chunk in chunks)
    assert charged(running) > 0


def test_error_in_the_middle_of_a_stream_is_seen_by_both_sdks_and_waived(
    running: RunningSimulator,
) -> None:
    running.add_fault(FaultRule(fault=Fault.MID_STREAM_ERROR))
    with openai.OpenAI(base_url=running.url, api_key="k", max_retries=0, timeout=10) as sdk:
        stream = sdk.chat.completions.create(model="openai/gpt-4o", messages=ASK, stream=True)
        with pytest.raises(openai.APIError, match="Provider returned error"):
            list(stream)
    with (
        OpenRouter(api_key="k", server_url=running.url, retry_config=NO_RETRIES) as other,
        other.chat.send(
            model="openai/gpt-4o", messages=ASK, stream=True, timeout_ms=10_000
        ) as received,
    ):
        last = list(received)[-1]
    assert last.error is not None and last.error.code == 502
    assert last.choices[0].finish_reason == "error"
    assert charged(running) == 0


def test_malformed_json_is_refused_by_both_sdks_and_charged(running: RunningSimulator) -> None:
    running.add_fault(FaultRule(fault=Fault.MALFORMED_JSON))
    with openai.OpenAI(base_url=running.url, api_key="k", max_retries=0, timeout=10) as sdk:
        with pytest.raises((openai.APIError, json.JSONDecodeError)):
            sdk.chat.completions.create(model="openai/gpt-4o", messages=ASK)
        with pytest.raises((openai.APIError, json.JSONDecodeError)):
            list(sdk.chat.completions.create(model="openai/gpt-4o", messages=ASK, stream=True))
    with (
        OpenRouter(api_key="k", server_url=running.url, retry_config=NO_RETRIES) as other,
        pytest.raises(errors.ResponseValidationError),
    ):
        other.chat.send(model="openai/gpt-4o", messages=ASK, timeout_ms=10_000)
    assert charged(running) > 0


def test_wrong_types_are_refused_by_the_strict_sdk(running: RunningSimulator) -> None:
    running.add_fault(FaultRule(fault=Fault.WRONG_TYPES))
    with (
        OpenRouter(api_key="k", server_url=running.url, retry_config=NO_RETRIES) as sdk,
        pytest.raises(errors.ResponseValidationError),
    ):
        sdk.chat.send(model="openai/gpt-4o", messages=ASK, timeout_ms=10_000)


def test_error_inside_200_is_not_charged_even_when_a_stream_was_asked_for(
    running: RunningSimulator, client: httpx.Client
) -> None:
    running.add_fault(FaultRule(fault=Fault.ERROR_IN_200))
    for stream in (False, True):
        document = ask(client, stream=stream)
        assert document["error"]["code"] == 502 and "choices" not in document
        assert charged(running) == 0


@pytest.mark.parametrize("paid", [None, True])
def test_error_inside_a_choice_states_what_it_charges(
    running: RunningSimulator, client: httpx.Client, paid: bool | None
) -> None:
    running.add_fault(FaultRule(fault=Fault.ERROR_IN_CHOICE, charged=paid))
    document = ask(client)
    assert document["choices"][0]["error"]["code"] == 502
    assert document["choices"][0]["finish_reason"] == "error"
    assert Decimal(document["usage"]["cost"]) == charged(running)
    assert (charged(running) > 0) is bool(paid)


def test_empty_answer_is_waived(running: RunningSimulator, client: httpx.Client) -> None:
    running.add_fault(FaultRule(fault=Fault.EMPTY_ANSWER))
    document = ask(client)
    assert document["choices"][0]["message"]["content"] == ""
    assert document["choices"][0]["finish_reason"] is None
    assert document["usage"]["completion_tokens"] == 0
    assert charged(running) == 0
    assert events(client)[-1] == "[DONE]"


def test_cost_above_the_list_price_is_stated_and_charged(
    running: RunningSimulator, client: httpx.Client
) -> None:
    full = ask(client)["usage"]["cost"]
    running.add_fault(FaultRule(fault=Fault.COST_MULTIPLIED, multiplier=Decimal("2.5")))
    assert ask(client)["usage"]["cost"] == full * Decimal("2.5") == charged(running)


def test_usage_that_lies_or_is_missing_leaves_the_true_charge(
    running: RunningSimulator, client: httpx.Client
) -> None:
    full = ask(client)["usage"]["cost"]
    for fault in (Fault.NEGATIVE_COST, Fault.NO_USAGE, Fault.COST_STRING):
        running.add_fault(FaultRule(fault=fault, times=1))
    assert ask(client)["usage"]["cost"] == -full
    assert "usage" not in ask(client)
    assert ask(client)["usage"]["cost"] == format(full, "f")
    assert [charge.cost for charge in running.charges[-3:]] == [full] * 3


def test_own_key_debits_the_fee_and_states_the_upstream_cost(
    running: RunningSimulator, client: httpx.Client
) -> None:
    full = ask(client)["usage"]["cost"]
    running.add_fault(FaultRule(fault=Fault.BYOK))
    usage = ask(client)["usage"]
    assert usage["is_byok"] is True
    assert usage["cost"] == full * Decimal("0.05")
    assert usage["cost_details"]["upstream_inference_cost"] == full
    assert charged(running) == full * Decimal("1.05")


def test_another_model_serves_and_is_billed(
    running: RunningSimulator, client: httpx.Client
) -> None:
    rule = FaultRule(fault=Fault.OTHER_MODEL, served_model="openai/gpt-4o-mini", times=1)
    running.add_fault(rule)
    running.add_fault(FaultRule(fault=Fault.OTHER_MODEL, times=1))
    cheap, dated = ask(client), ask(client)
    assert cheap["model"] == "openai/gpt-4o-mini"
    assert dated["model"] == "openai/gpt-4o-2026-08-06"
    assert cheap["usage"]["cost"] < dated["usage"]["cost"]
    assert running.charges[-1].requested_model == "openai/gpt-4o"


def test_redirect_points_to_another_host(running: RunningSimulator, client: httpx.Client) -> None:
    running.add_fault(FaultRule(fault=Fault.REDIRECT))
    answer = client.post("/chat/completions", json=BODY)
    assert answer.status_code == 307
    assert answer.headers["location"].startswith("http://elsewhere.invalid/")


@pytest.mark.parametrize("stream", [False, True])
def test_huge_body_is_as_long_as_asked(
    running: RunningSimulator, client: httpx.Client, stream: bool
) -> None:
    running.add_fault(FaultRule(fault=Fault.HUGE_BODY, size=3_000_000))
    answer = client.post("/chat/completions", json=BODY | {"stream": stream})
    assert len(answer.content) > 3_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_slow_drip_arrives_whole(
    running: RunningSimulator, client: httpx.Client, stream: bool
) -> None:
    running.add_fault(FaultRule(fault=Fault.SLOW_DRIP, seconds=0.3))
    answer = client.post("/chat/completions", json=BODY | {"stream": stream})
    assert answer.elapsed.total_seconds() >= 0.25
    assert answer.text.endswith("[DONE]\n\n" if stream else "}")


def test_refusal_that_is_charged_carries_its_generation_id(
    running: RunningSimulator, client: httpx.Client
) -> None:
    running.add_fault(FaultRule(fault=Fault.BAD_GATEWAY, charged=True))
    answer = client.post("/chat/completions", json=BODY)
    assert answer.status_code == 502
    assert running.charges[-1].generation_id == answer.headers["X-Generation-Id"]
    assert charged(running) > 0
