"""The client against the simulator over HTTP: every fault, and its bill against the charge log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from deployments.simulator import (
    Fault,
    FaultRule,
    RunningSimulator,
    SimulatorConfig,
    UsageChunk,
    running_simulator,
)
from models.completion import Completion, StreamDelta
from models.errors import (
    AccessDenied,
    AccountLimited,
    AccountOutOfMoney,
    BadAnswer,
    Busy,
    HoldFate,
    InFlightLimited,
    ModelUnsuitable,
    OutcomeUnknown,
    RequestRejected,
    TooExpensive,
    UpstreamFailed,
)
from models.pricing import worst_case_usd
from tasks.adapters.openrouter import ChatCall, OpenRouterClient, open_client

pytestmark = pytest.mark.anyio

EXPECTED: dict[Fault, type[UpstreamFailed] | None] = {  # None: a good answer
    Fault.RATE_LIMITED: Busy,
    Fault.RATE_LIMITED_DAILY: AccountLimited,
    Fault.RATE_LIMITED_KEY: AccountLimited,
    Fault.IN_FLIGHT: InFlightLimited,
    Fault.CAN_ONLY_AFFORD: TooExpensive,
    Fault.WEIGHT_EXCEEDS_BUDGET: TooExpensive,
    Fault.PROMPT_LIMIT: TooExpensive,
    Fault.OUT_OF_CREDITS: AccountOutOfMoney,
    Fault.KEY_LIMIT: AccountOutOfMoney,
    Fault.GUARDRAIL_BUDGET: AccountOutOfMoney,
    Fault.WORKSPACE_BUDGET: AccountOutOfMoney,
    Fault.BAD_REQUEST: RequestRejected,
    Fault.UNPROCESSABLE: RequestRejected,
    Fault.MODEL_NOT_FOUND: ModelUnsuitable,
    Fault.NO_ENDPOINTS: ModelUnsuitable,
    Fault.CONTEXT_LENGTH: ModelUnsuitable,
    Fault.UNAUTHORIZED: AccessDenied,
    Fault.PERMISSION_DENIED: AccessDenied,
    Fault.MODERATION: AccessDenied,
    Fault.TIMEOUT: OutcomeUnknown,
    Fault.TOO_LARGE: RequestRejected,
    Fault.SERVER_ERROR: OutcomeUnknown,
    Fault.BAD_GATEWAY: OutcomeUnknown,
    Fault.HTML_BAD_GATEWAY: OutcomeUnknown,
    Fault.UNAVAILABLE: Busy,
    Fault.GATEWAY_TIMEOUT: OutcomeUnknown,
    Fault.EDGE_TIMEOUT: OutcomeUnknown,
    Fault.OVERLOADED: Busy,
    Fault.REDIRECT: RequestRejected,
    Fault.HANG: OutcomeUnknown,
    Fault.HANG_MID_BODY: OutcomeUnknown,
    Fault.CUT: OutcomeUnknown,
    Fault.NO_DONE: OutcomeUnknown,
    Fault.MID_STREAM_ERROR: BadAnswer,
    Fault.MALFORMED_JSON: OutcomeUnknown,
    Fault.WRONG_TYPES: OutcomeUnknown,
    Fault.ERROR_IN_200: BadAnswer,
    Fault.ERROR_IN_CHOICE: BadAnswer,
    Fault.EMPTY_ANSWER: BadAnswer,
    Fault.COST_MULTIPLIED: None,
    Fault.NEGATIVE_COST: OutcomeUnknown,
    Fault.NO_USAGE: None,
    Fault.COST_STRING: None,
    Fault.HUGE_BODY: OutcomeUnknown,
    Fault.BYOK: None,
    Fault.OTHER_MODEL: None,
    Fault.SLOW_DRIP: None,
}
SECONDS = {Fault.SLOW_DRIP: 0.1}
DEADLINES_S = {Fault.HANG: 0.5, Fault.HANG_MID_BODY: 0.5}


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningSimulator]:
    with running_simulator(SimulatorConfig(latency_scale=0)) as running:
        yield running


@pytest.fixture
def simulator(shared: RunningSimulator) -> Iterator[RunningSimulator]:
    yield shared
    shared.clear_faults()


@pytest.fixture
async def client(simulator: RunningSimulator) -> AsyncIterator[OpenRouterClient]:
    async with open_client(simulator.url, "sk-or-v1-simulated-0123456789") as opened:
        yield opened


async def ask(
    client: OpenRouterClient, call: ChatCall, *, stream: bool, deadline_s: float = 20
) -> Completion:
    noted: list[str] = []

    async def note(generation_id: str) -> None:
        noted.append(generation_id)

    if not stream:
        answer = await client.complete(call, deadline_s=deadline_s, on_headers=note)
    else:
        sent = client.stream(call, deadline_s=deadline_s, on_headers=note)
        *deltas, answer = [part async for part in sent]
        assert all(isinstance(delta, StreamDelta) for delta in deltas)
        assert "".join(delta.content for delta in deltas) == answer.content
    assert noted == [answer.generation_id]
    return answer


def charged(simulator: RunningSimulator, before: int) -> Decimal:
    """What the log says was spent since; the last line of a generation counts."""
    lines = {charge.generation_id: charge for charge in simulator.charges[before:]}
    return sum((charge.true_cost for charge in lines.values()), Decimal(0))


def test_every_fault_of_the_simulator_has_an_expectation():
    assert set(EXPECTED) == set(Fault) - {Fault.BATCH_EXPIRES}  # of no single call


CASES = [
    pytest.param(fault, stream, id=f"{fault}-{'streamed' if stream else 'whole'}")
    for fault in EXPECTED
    for stream in (False, True)
    if stream or fault is not Fault.NO_DONE  # only a stream has an end to leave out
]


@pytest.mark.parametrize(("fault", "stream"), CASES)
async def test_fault_becomes_its_leaf_and_its_bill_is_right(simulator, client, call, fault, stream):
    before = len(simulator.charges)
    simulator.add_fault(FaultRule(fault=fault, times=1, seconds=SECONDS.get(fault, 3600)))
    try:
        answer = await ask(client, call, stream=stream, deadline_s=DEADLINES_S.get(fault, 20))
    except UpstreamFailed as failure:
        assert type(failure) is EXPECTED[fault]
        await check_bill(client, failure, lambda: charged(simulator, before))
    else:
        assert EXPECTED[fault] is None
        if fault is Fault.NO_USAGE:
            assert answer.usage is None
        else:
            assert answer.usage.cost_usd == charged(simulator, before)


async def check_bill(
    client: OpenRouterClient, failure: UpstreamFailed, charged_usd: Callable[[], Decimal]
) -> None:
    """A released hold was not billed, a settled one exactly, an unknown one can be looked up."""
    match failure.hold_fate:
        case HoldFate.RELEASED:
            assert charged_usd() == 0
        case HoldFate.SETTLED:
            assert failure.completion.usage.cost_usd == charged_usd()
        case HoldFate.UNKNOWN if failure.generation_id is not None:
            for _ in range(200):  # a stream we left is billed anew once the simulator notices
                record = await client.generation(failure.generation_id)
                cost_usd = Decimal(0) if record is None else record.cost_usd
                if cost_usd == charged_usd():
                    break
                await asyncio.sleep(0.01)
            assert cost_usd == charged_usd()
        case fate:
            assert fate is HoldFate.UNKNOWN


@pytest.mark.parametrize("variant", UsageChunk)
async def test_stream_and_whole_answer_agree_in_text_and_bill(call, variant):
    config = SimulatorConfig(latency_scale=0, usage_chunk=variant)
    with running_simulator(config) as running:
        async with open_client(running.url, "k-0123456789") as client:
            whole = await ask(client, call, stream=False)
            streamed = await ask(client, call, stream=True)
        assert whole.content == streamed.content
        assert whole.usage == streamed.usage
        assert [charge.true_cost for charge in running.charges] == [whole.usage.cost_usd] * 2


async def test_bill_stays_within_the_hold_of_the_listed_price(simulator, client, call):
    cards = {card.model_id: card for card in await client.models()}
    card = cards[call.model_id]
    asked = replace(call, price=card.price, max_tokens=32)
    answer = await ask(client, asked, stream=False)
    bound = worst_case_usd(
        card.price, prompt_tokens=answer.usage.prompt_tokens, completion_tokens=32
    )
    assert 0 < answer.usage.cost_usd <= bound
    assert {"tools", "response_format"} <= card.abilities


async def test_tool_calls_come_whole_out_of_a_stream(simulator, client, call):
    tool = {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
        },
    }
    asked = replace(call, tools=[tool], tool_choice="required")
    whole, streamed = [await ask(client, asked, stream=stream) for stream in (False, True)]
    assert [c["function"] for c in streamed.message["tool_calls"]] == [
        c["function"] for c in whole.message["tool_calls"]
    ]


async def test_generation_is_found_after_its_lag(call):
    config = SimulatorConfig(latency_scale=0, generation_lag_polls=2)
    with running_simulator(config) as running:
        async with open_client(running.url, "k-0123456789") as client:
            answer = await ask(client, call, stream=False)
            found = [await client.generation(answer.generation_id) for _ in range(3)]
    assert found[:2] == [None, None]
    assert found[2].cost_usd == answer.usage.cost_usd


async def test_key_and_credits_tell_what_was_spent(simulator, client, call):
    before = await client.key_spend()
    answer = await ask(client, call, stream=False)
    after = await client.key_spend()
    assert after.usage_daily_usd - before.usage_daily_usd == answer.usage.cost_usd
    assert (await client.credits()).used_usd == after.usage_usd


async def test_many_calls_share_the_client(simulator, client, call):
    answers = await asyncio.gather(
        *(ask(client, call, stream=number % 2 == 0) for number in range(40))
    )
    assert len({answer.generation_id for answer in answers}) == 40
