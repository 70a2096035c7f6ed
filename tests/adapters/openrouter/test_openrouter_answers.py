"""Whole answers: what they cost, when they are none, and what is sent to get them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from models.errors import BadAnswer, HoldFate, OutcomeUnknown
from tasks.adapters.openrouter.strict_json import DEPTH_MAX

pytestmark = pytest.mark.anyio


def with_usage(answer, usage_json: str) -> bytes:
    """Write the usage block literally: a float would already have lost the digits."""
    return json.dumps(answer(usage="@")).replace('"@"', usage_json).encode()


async def test_answer_carries_text_tokens_cost_and_who_served(scripted, call, answer):
    body = answer(model="openai/gpt-4o-mini-2024-07-18", service_tier="default")
    script = scripted(200, body, {"X-Generation-Id": "gen-head"})
    got = await script.client.complete(call, deadline_s=5)
    assert (got.content, got.finish_reason, got.native_finish_reason) == (
        "Profits rose.",
        "stop",
        "stop",
    )
    assert (got.model_id, got.provider) == ("openai/gpt-4o-mini-2024-07-18", "OpenAI")
    assert got.generation_id == "gen-head"
    assert got.extra == {"created": 1786988078, "service_tier": "default"}
    usage = got.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (20, 4, 24)
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (8, 2, 1)
    assert usage.cost_usd == Decimal("0.0000054")


async def test_generation_id_is_the_bodys_when_no_header_names_it(scripted, call, answer):
    got = await scripted(200, answer()).client.complete(call, deadline_s=5)
    assert got.generation_id == "gen-1786988078-NGfmEgJ5Z2MYGfqmExLw"


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ('{"cost": 0.0823075, "prompt_tokens": 1, "completion_tokens": 1}', "0.0823075"),
        ('{"cost": 0.1234567890123, "prompt_tokens": 1}', "0.123456789013"),  # rounded up
        ('{"cost": 1e-7, "prompt_tokens": 1}', "0.0000001"),
        ('{"cost": 1e-400, "prompt_tokens": 1}', "0.000000000001"),
        ('{"cost": "0.1"}', "0.1"),
        ('{"cost": " 1.5e-3 "}', "0.0015"),
        ('{"cost": 0, "prompt_tokens": 0, "completion_tokens": 0}', "0"),
        ('{"cost": -0.0}', "0"),
        ('{"cost": 3}', "3"),
        ('{"cost": 0.01, "cost_details": {"upstream_inference_cost": 0.5}}', "0.01"),
        (
            '{"cost": 0.01, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.5}}',
            "0.51",
        ),
        (
            '{"cost": 0, "is_byok": true, "cost_details": {"upstream_inference_cost": "0.25"}}',
            "0.25",
        ),
    ],
)
async def test_cost_is_read_to_the_last_digit(scripted, call, answer, usage, cost):
    got = await scripted(200, with_usage(answer, usage)).client.complete(call, deadline_s=5)
    assert str(got.usage.cost_usd.normalize() + 0) == str(Decimal(cost).normalize())
    assert not got.usage.cost_usd.is_signed()


@pytest.mark.parametrize(
    "usage",
    [
        '{"cost": -0.1, "prompt_tokens": 1, "completion_tokens": 1}',
        '{"cost": 1e400, "prompt_tokens": 1, "completion_tokens": 1}',
        '{"cost": "NaN"}',
        '{"cost": "Infinity"}',
        '{"cost": "1_000"}',
        '{"cost": "\\u0661"}',
        '{"cost": "free"}',
        '{"cost": true}',
        '{"cost": [0.1]}',
        '{"cost": 0.1, "is_byok": true}',
        '{"cost": 0.1, "is_byok": true, "cost_details": {"upstream_inference_cost": -1}}',
        '{"cost": 0.1, "prompt_tokens": -1}',
        '{"cost": 0.1, "prompt_tokens": 1.5}',
        '{"cost": 0.1, "completion_tokens": "4"}',
        '{"cost": 0.1, "completion_tokens": 1e99}',
        '{"cost": 0.1, "prompt_tokens_details": {"cached_tokens": -7}}',
        '"expensive"',
        "[]",
    ],
)
async def test_bill_is_unknown_when_usage_cannot_be_true(scripted, call, answer, usage):
    with pytest.raises(OutcomeUnknown, match="the bill is unknown") as caught:
        await scripted(200, with_usage(answer, usage)).client.complete(call, deadline_s=5)
    assert caught.value.completion.content == "Profits rose."
    assert caught.value.completion.usage is None
    assert caught.value.generation_id is not None


@pytest.mark.parametrize(
    "usage",
    [
        '{"cost": NaN}',
        '{"cost": -Infinity}',
        '{"cost": 0.1, "cost": 0.2}',
        '{"cost": 1e99999999999999999999}',
        '{"prompt_tokens": ' + "9" * 5000 + "}",
        "[" * 100_000,
    ],
)
async def test_outcome_is_unknown_when_the_body_is_not_one_clear_document(
    scripted, call, answer, usage
):
    with pytest.raises(OutcomeUnknown, match="cannot be read"):
        await scripted(200, with_usage(answer, usage)).client.complete(call, deadline_s=5)


@pytest.mark.parametrize("usage", ["null", "{}", '{"prompt_tokens": 5}', '{"total_tokens": 5}'])
async def test_usage_is_none_when_it_says_neither_tokens_nor_cost(scripted, call, answer, usage):
    got = await scripted(200, with_usage(answer, usage)).client.complete(call, deadline_s=5)
    assert got.usage is None


async def test_cost_is_none_when_an_upstream_states_tokens_only(scripted, call, answer):
    usage = '{"prompt_tokens": 5, "completion_tokens": 7}'
    got = await scripted(200, with_usage(answer, usage)).client.complete(call, deadline_s=5)
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (5, 7)
    assert got.usage.cost_usd is None


async def test_cached_tokens_never_exceed_the_prompt(scripted, call, answer):
    usage = (
        '{"prompt_tokens": 5, "completion_tokens": 7,'
        ' "prompt_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 90}}'
    )
    got = await scripted(200, with_usage(answer, usage)).client.complete(call, deadline_s=5)
    assert (got.usage.cached_tokens, got.usage.cache_write_tokens) == (5, 0)


def choice(**changes):
    return {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": []},
        {"choices": None},
        {"choices": [choice(message={"role": "assistant", "content": ""})]},
        {"choices": [choice(message={"role": "assistant", "content": None})]},
        {"choices": [choice(message=None)]},
        {"choices": [choice(finish_reason=None, message={"content": "", "tool_calls": []})]},
        {"choices": [choice(finish_reason="error", message={"content": "half an ans"})]},
        {"choices": [choice(error={"code": 502, "message": "died"}, message={"content": "ha"})]},
        {"error": {"code": 502, "message": "Provider returned error"}},
        {"error": {"code": "server_error", "message": "odd"}, "choices": None},
        {"error": "just text"},
    ],
)
async def test_answer_is_bad_when_it_is_empty_or_an_error(scripted, call, answer, changes):
    with pytest.raises(BadAnswer) as caught:
        await scripted(200, answer(**changes)).client.complete(call, deadline_s=5)
    assert caught.value.hold_fate is HoldFate.SETTLED
    assert caught.value.completion.usage.cost_usd == Decimal("0.0000054")


async def test_bad_answer_says_what_the_upstream_said(scripted, call):
    body = {"error": {"code": 502, "message": "Provider returned error"}}
    with pytest.raises(BadAnswer, match="502: Provider returned error") as caught:
        await scripted(200, body).client.complete(call, deadline_s=5)
    assert caught.value.hold_fate is HoldFate.UNKNOWN


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
        {"content": None, "refusal": "I cannot help with that."},
        {"content": "", "images": [{"image_url": {"url": "data:..."}}]},
        {"content": [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]},
    ],
)
async def test_answer_need_not_be_text(scripted, call, answer, message):
    got = await scripted(200, answer(choices=[choice(message=message)])).client.complete(
        call, deadline_s=5
    )
    assert got.message.items() >= message.items()
    assert got.content in ("", "in parts")


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": {}},
        {"choices": ["text"]},
        {"choices": [choice(message="text")]},
        {"choices": [choice(message={"content": 5})]},
        {"choices": [choice(message={"content": "deep", "x": None})]},
    ],
)
async def test_outcome_is_unknown_when_types_are_wrong(scripted, call, answer, changes):
    body = json.dumps(answer(**changes))
    body = body.replace('"x": null', f'"x": {"[" * (DEPTH_MAX + 1)}{"]" * (DEPTH_MAX + 1)}')
    with pytest.raises(OutcomeUnknown):
        await scripted(200, body.encode()).client.complete(call, deadline_s=5)


@pytest.mark.parametrize("body", [b"", b"<html>welcome</html>", b"null", b"\xff\xfe", b'{"a": 1'])
async def test_outcome_is_unknown_when_the_body_is_no_document(scripted, call, body):
    script = scripted(200, body, {"content-type": "text/html; charset=utf-8"})
    with pytest.raises(OutcomeUnknown, match=r"the answer \(text/html\) cannot be read"):
        await script.client.complete(call, deadline_s=5)


async def test_keep_alive_blanks_before_the_document_are_skipped(scripted, call, answer):
    body = b"\n   \n" * 50 + json.dumps(answer()).encode()
    got = await scripted(200, body).client.complete(call, deadline_s=5)
    assert got.content == "Profits rose."


async def test_message_fits_any_json_store_when_the_answer_holds_odd_characters(
    scripted, call, answer
):
    text = r'{"role": "assistant", "content": "a\u0000b\ud83d\ude00\ud800", "score": 0.25}'
    body = json.dumps(answer(choices=[choice(message="@")])).replace('"@"', text).encode()
    got = await scripted(200, body).client.complete(call, deadline_s=5)
    assert got.content == "ab😀\ufffd"
    assert json.dumps(got.message).encode()
    assert got.message["score"] == 0.25
