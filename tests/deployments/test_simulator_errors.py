"""Every refusal reaches each SDK as the class that it has for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import openai
import pytest
from openrouter import OpenRouter, errors, utils

from deployments.simulator import (
    Fault,
    FaultMatch,
    FaultRule,
    RunningSimulator,
    SimulatorConfig,
    running_simulator,
)

NO_RETRIES = utils.RetryConfig("none", utils.BackoffStrategy(1, 1, 1, 1), False)
ASK: list[Any] = [{"role": "user", "content": "hello"}]
BODY = {"model": "openai/gpt-4o", "messages": ASK}
CASES = (
    (Fault.RATE_LIMITED, 429, errors.TooManyRequestsResponseError, openai.RateLimitError),
    (Fault.RATE_LIMITED_DAILY, 429, errors.TooManyRequestsResponseError, openai.RateLimitError),
    (Fault.RATE_LIMITED_KEY, 429, errors.TooManyRequestsResponseError, openai.RateLimitError),
    (Fault.IN_FLIGHT, 402, errors.PaymentRequiredResponseError, openai.APIStatusError),
    (Fault.CAN_ONLY_AFFORD, 402, errors.PaymentRequiredResponseError, openai.APIStatusError),
    (Fault.WEIGHT_EXCEEDS_BUDGET, 402, errors.PaymentRequiredResponseError, openai.APIStatusError),
    (Fault.PROMPT_LIMIT, 402, errors.PaymentRequiredResponseError, openai.APIStatusError),
    (Fault.OUT_OF_CREDITS, 402, errors.PaymentRequiredResponseError, openai.APIStatusError),
    (Fault.KEY_LIMIT, 402, errors.PaymentRequiredResponseError, openai.APIStatusError),
    (Fault.GUARDRAIL_BUDGET, 403, errors.ForbiddenResponseError, openai.PermissionDeniedError),
    (Fault.WORKSPACE_BUDGET, 403, errors.ForbiddenResponseError, openai.PermissionDeniedError),
    (Fault.BAD_REQUEST, 400, errors.BadRequestResponseError, openai.BadRequestError),
    (Fault.UNPROCESSABLE, 422, errors.UnprocessableEntityResponseError, openai.APIStatusError),
    (Fault.MODEL_NOT_FOUND, 400, errors.BadRequestResponseError, openai.BadRequestError),
    (Fault.NO_ENDPOINTS, 404, errors.NotFoundResponseError, openai.NotFoundError),
    (Fault.CONTEXT_LENGTH, 400, errors.BadRequestResponseError, openai.BadRequestError),
    (Fault.UNAUTHORIZED, 401, errors.UnauthorizedResponseError, openai.AuthenticationError),
    (Fault.PERMISSION_DENIED, 403, errors.ForbiddenResponseError, openai.PermissionDeniedError),
    (Fault.MODERATION, 403, errors.ForbiddenResponseError, openai.PermissionDeniedError),
    (Fault.TIMEOUT, 408, errors.RequestTimeoutResponseError, openai.APIStatusError),
    (Fault.TOO_LARGE, 413, errors.PayloadTooLargeResponseError, openai.APIStatusError),
    (Fault.SERVER_ERROR, 500, errors.InternalServerResponseError, openai.InternalServerError),
    (Fault.BAD_GATEWAY, 502, errors.BadGatewayResponseError, openai.InternalServerError),
    (Fault.HTML_BAD_GATEWAY, 502, errors.OpenRouterDefaultError, openai.InternalServerError),
    (Fault.UNAVAILABLE, 503, errors.ServiceUnavailableResponseError, openai.InternalServerError),
    (Fault.GATEWAY_TIMEOUT, 504, errors.OpenRouterError, openai.InternalServerError),
    (Fault.EDGE_TIMEOUT, 524, errors.EdgeNetworkTimeoutResponseError, openai.InternalServerError),
    (Fault.OVERLOADED, 529, errors.ProviderOverloadedResponseError, openai.InternalServerError),
)


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


@pytest.mark.parametrize(("fault", "status", "theirs", "openais"), CASES, ids=lambda v: str(v))
def test_refusal_maps_to_the_class_of_each_sdk_and_is_not_charged(
    running: RunningSimulator, fault: Fault, status: int, theirs: Any, openais: Any
) -> None:
    charges = len(running.charges)
    running.add_fault(FaultRule(fault=fault))
    with (
        OpenRouter(api_key="k", server_url=running.url, retry_config=NO_RETRIES) as sdk,
        pytest.raises(theirs) as caught,
    ):
        sdk.chat.send(model="openai/gpt-4o", messages=ASK, timeout_ms=10_000)
    assert caught.value.status_code == status
    with (
        openai.OpenAI(base_url=running.url, api_key="k", max_retries=0, timeout=10) as client,
        pytest.raises(openais) as other,
    ):
        client.chat.completions.create(model="openai/gpt-4o", messages=ASK)
    assert other.value.status_code == status
    assert len(running.charges) == charges


@pytest.mark.parametrize("fault", [case[0] for case in CASES if "html" not in case[0]])
def test_refusal_body_repeats_the_status_and_names_its_type(
    running: RunningSimulator, client: httpx.Client, fault: Fault
) -> None:
    running.add_fault(FaultRule(fault=fault))
    answer = client.post("/chat/completions", json=BODY | {"stream": True})
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["metadata"]["error_type"]
    assert "{" not in error["message"]
    limited = fault in (Fault.RATE_LIMITED_DAILY, Fault.RATE_LIMITED_KEY)
    assert ("X-RateLimit-Reset" in answer.headers) is limited


@pytest.mark.parametrize(
    ("options", "header"),
    [({}, None), ({"retry_after": 7}, "7"), ({"retry_after": "soon"}, "soon")],
)
def test_pool_limit_sends_retry_after_as_the_rule_says(
    running: RunningSimulator, client: httpx.Client, options: dict[str, Any], header: str | None
) -> None:
    running.add_fault(FaultRule(fault=Fault.RATE_LIMITED, **options))
    answer = client.post("/chat/completions", json=BODY)
    assert answer.headers.get("Retry-After") == header
    metadata = answer.json()["error"]["metadata"]
    assert metadata["limit_source"] == "upstream_provider_shared_pool"


def test_retry_after_is_an_http_date_when_asked(
    running: RunningSimulator, client: httpx.Client
) -> None:
    running.add_fault(FaultRule(fault=Fault.UNAVAILABLE, retry_after_date_s=30))
    answer = client.post("/chat/completions", json=BODY)
    assert parsedate_to_datetime(answer.headers["Retry-After"]).tzinfo is not None


def test_in_flight_limit_is_told_from_a_spent_budget(
    running: RunningSimulator, client: httpx.Client
) -> None:
    running.add_fault(FaultRule(fault=Fault.IN_FLIGHT, times=1))
    running.add_fault(FaultRule(fault=Fault.WEIGHT_EXCEEDS_BUDGET, times=1))
    first, second = (client.post("/chat/completions", json=BODY) for _ in range(2))
    assert first.headers["Retry-After"] == "120"
    assert first.json()["error"]["metadata"]["reason"] == "in_flight_budget_exhausted"
    assert "Retry-After" not in second.headers
    assert second.json()["error"]["metadata"]["reason"] == "weight_exceeds_budget"


def test_rules_fire_after_some_matches_and_a_number_of_times(
    running: RunningSimulator, client: httpx.Client
) -> None:
    running.add_fault(FaultRule(fault=Fault.SERVER_ERROR, after=1, times=2))
    statuses = [client.post("/chat/completions", json=BODY).status_code for _ in range(4)]
    assert statuses == [200, 500, 500, 200]


def test_rules_match_model_text_header_and_stream(
    running: RunningSimulator, client: httpx.Client
) -> None:
    matches = (
        {"model": "openai/gpt-4o-mini"},
        {"contains": "boom"},
        {"header": {"X-Test": "yes"}},
        {"stream": True},
    )
    for match in matches:
        running.add_fault(
            FaultRule(fault=Fault.SERVER_ERROR, match=FaultMatch.model_validate(match))
        )

    def status(body: dict[str, Any], **headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post("/chat/completions", json=BODY | body, headers=sent).status_code

    assert status({}) == 200
    assert status({"model": "openai/gpt-4o-mini:nitro"}) == 500
    assert status({"messages": [{"role": "user", "content": "goes boom now"}]}) == 500
    assert status({}, x_test="yes") == 500
    assert status({"stream": True}) == 500


def test_rules_fire_by_chance_the_same_way_for_the_same_seed() -> None:
    def fired() -> list[int]:
        rule = FaultRule(fault=Fault.SERVER_ERROR, probability=0.5)
        with (
            running_simulator(SimulatorConfig(latency_scale=0, seed=3, faults=(rule,))) as running,
            httpx.Client(base_url=running.url, headers={"Authorization": "Bearer k"}) as client,
        ):
            return [client.post("/chat/completions", json=BODY).status_code for _ in range(20)]

    first = fired()
    assert set(first) == {200, 500} and first == fired()


def test_other_paths_fail_on_demand_too(running: RunningSimulator, client: httpx.Client) -> None:
    match = FaultMatch(path="/key")
    running.add_fault(FaultRule(fault=Fault.UNAVAILABLE, match=match, times=1))
    assert [client.get("/key").status_code for _ in range(2)] == [503, 200]


def test_control_door_adds_lists_and_removes_rules(
    running: RunningSimulator, client: httpx.Client
) -> None:
    door = f"{running.root_url}/simulator/faults"
    number = client.post(door, json={"fault": "server_error"}).json()["numbers"][0]
    assert client.post("/chat/completions", json=BODY).status_code == 500
    assert client.get(door).json()["rules"][0]["fired"] == 1
    assert client.delete(door, params={"number": number}).json() == {"removed": 1}
    assert client.post("/chat/completions", json=BODY).status_code == 200
    refused = client.post(door, json={"fault": "no_such_fault", "colour": "red"})
    assert refused.status_code == 400 and "colour" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"model": "nobody/nothing"}, 400, "is not a valid model ID"),
        ({"model": "openai/gpt-4o:free"}, 404, "No endpoints found"),
        ({"messages": []}, 400, "Input required"),
        ({"messages": "hello"}, 400, "Input required"),
        ({"model": None}, 400, "No models provided"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"temperature": 3}, 400, "temperature"),
        ({"max_tokens": 500_000}, 400, "maximum context length is 128000"),
        ({"provider": {"max_price": {"prompt": 1}}}, 404, "No models match"),
        ({"provider": {"max_price": {"completion": "9.99"}}}, 404, "No models match"),
        ({"provider": {"only": ["groq"]}}, 404, "No models match"),
    ],
)
def test_bad_requests_get_the_answer_of_openrouter(
    client: httpx.Client, change: dict[str, Any], status: int, words: str
) -> None:
    answer = client.post("/chat/completions", json=BODY | change)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("limit", [2.5, "2.5", "3"])
def test_max_price_at_or_above_the_list_price_is_served(
    client: httpx.Client, limit: float | str
) -> None:
    provider = {"max_price": {"prompt": limit, "completion": "10"}}
    assert client.post("/chat/completions", json=BODY | {"provider": provider}).status_code == 200


def test_broken_json_is_a_bad_request(client: httpx.Client) -> None:
    assert client.post("/chat/completions", content=b"{").status_code == 400


def test_key_is_checked_when_missing_or_refused(running: RunningSimulator) -> None:
    missing = httpx.post(f"{running.url}/chat/completions", json=BODY)
    assert missing.status_code == 401
    assert missing.json()["error"]["message"] == "Missing Authentication header"
    config = SimulatorConfig(latency_scale=0, accepted_keys=frozenset({"right"}))
    with running_simulator(config) as other:
        url = f"{other.url}/key"
        statuses = [
            httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code
            for key in ("right", "wrong")
        ]
    assert statuses == [200, 401]


def test_requests_above_the_rate_of_a_model_get_429_with_retry_after() -> None:
    config = SimulatorConfig(latency_scale=0, requests_per_minute={"openai/gpt-4o": 2})
    with (
        running_simulator(config) as running,
        httpx.Client(base_url=running.url, headers={"Authorization": "Bearer k"}) as client,
    ):
        answers = [client.post("/chat/completions", json=BODY) for _ in range(3)]
        other = client.post("/chat/completions", json=BODY | {"model": "openai/gpt-4.1"})
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert other.status_code == 200


def test_requests_above_the_accounts_own_rate_get_429_with_limit_and_reset() -> None:
    config = SimulatorConfig(latency_scale=0, account_requests=2, rate_window_s=0.4)
    with (
        running_simulator(config) as running,
        httpx.Client(base_url=running.url, headers={"Authorization": "Bearer k"}) as client,
    ):
        bodies = [BODY, BODY | {"model": "openai/gpt-4.1"}, BODY]
        answers = [client.post("/chat/completions", json=body) for body in bodies]
        refused = answers[2]
        reset_s = int(refused.headers["X-RateLimit-Reset"]) / 1000
        time.sleep(max(0, reset_s - time.time()))
        again = client.post("/chat/completions", json=BODY)
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert refused.headers["X-RateLimit-Limit"] == "2"
    stated = refused.json()["error"]["metadata"]["headers"]
    assert stated["X-RateLimit-Reset"] == refused.headers["X-RateLimit-Reset"]
    assert again.status_code == 200


def test_next_model_of_the_list_serves_when_the_first_fails(
    running: RunningSimulator, client: httpx.Client
) -> None:
    match = FaultMatch(model="openai/gpt-4o")
    running.add_fault(FaultRule(fault=Fault.OVERLOADED, match=match))
    answer = client.post("/chat/completions", json=BODY | {"models": ["openai/gpt-4.1"]})
    assert answer.json()["model"] == "openai/gpt-4.1"
    assert running.charges[-1].model == "openai/gpt-4.1"
