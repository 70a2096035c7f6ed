"""The failure table of design.md, row by row, with bodies as OpenRouter writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from models.errors import (
    AccessDenied,
    AccountLimited,
    AccountOutOfMoney,
    BadAnswer,
    Busy,
    HoldFate,
    InFlightLimited,
    ModelUnsuitable,
    NextStep,
    OutcomeUnknown,
    RequestRejected,
    TooExpensive,
    UpstreamFailed,
)
from tasks.adapters.openrouter.limits import retry_after_s

pytestmark = pytest.mark.anyio
DAY_RESET_MS = "1795392000000"  # 2026-11-23 00:00 UTC, twelve hours after NOW
OWN = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": DAY_RESET_MS}
DAILY = "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free requests"
AFFORD = (
    "This request requires more credits, or fewer max_tokens. You requested up to 64000 tokens,"
    " but can only afford 4717."
)
CONTEXT = (
    "This endpoint's maximum context length is 128000 tokens. However, you requested about 140000"
)


def err(message="no", *, code=None, availability=None, **metadata):
    error = {"message": message, "code": code, "metadata": metadata}
    if availability is not None:
        error["availability"] = {"code": availability, "retryable": False}
    return {"error": error, "user_id": "user_x"}


CASES = [
    # 429: the shared pool passes, one's own limit does not
    (429, err("Provider returned error", limit_source="upstream_provider_shared_pool"), {}, Busy),
    (429, err("slow down"), {}, Busy),
    (429, err("full", availability="capacity_exhausted"), {}, Busy),
    (429, err("try later", limit_source="openrouter_admission_control"), {}, Busy),
    (429, err(DAILY, limit_source="openrouter_free_tier_daily"), {}, AccountLimited),
    (429, err(DAILY), {}, AccountLimited),
    (429, err("limited", headers=OWN), {}, AccountLimited),
    (429, err("limited"), OWN, AccountLimited),
    (429, err("limit of this key", limit_source="openrouter_key_limit"), {}, AccountLimited),
    (429, err("x", limit_source="openrouter_in_flight_budget"), {}, InFlightLimited),
    (
        429,
        {"error": {"message": "You exceeded your quota", "type": "insufficient_quota"}},
        {},
        AccountOutOfMoney,
    ),
    (429, b"<html>", {}, Busy),
    (503, err("No provider", availability="temporarily_unavailable"), {}, Busy),
    (529, err("overloaded", error_type="provider_overloaded"), {}, Busy),
    # 402
    (402, err("x", reason="in_flight_budget_exhausted"), {"Retry-After": "120"}, InFlightLimited),
    (402, err("x", limit_source="openrouter_in_flight_budget"), {}, InFlightLimited),
    (402, err("x"), {"Retry-After": "120"}, InFlightLimited),
    (402, err(AFFORD, limit_source="openrouter_credits"), {}, TooExpensive),
    (
        402,
        err("x", reason="weight_exceeds_budget", limit_source="openrouter_credits"),
        {},
        TooExpensive,
    ),
    (
        402,
        err("x", reason="weight_exceeds_budget", limit_source="openrouter_in_flight_budget"),
        {},
        TooExpensive,
    ),
    (402, err("Prompt tokens limit exceeded: 77084 > 67343"), {}, TooExpensive),
    (402, err("Insufficient credits. Add more"), {}, AccountOutOfMoney),
    (402, err("Key limit exceeded", limit_source="openrouter_key_limit"), {}, AccountOutOfMoney),
    (402, b"", {}, AccountOutOfMoney),
    # 403
    (403, err("spent", limit_source="openrouter_guardrail_budget"), {}, AccountOutOfMoney),
    (403, err("spent", limit_source="openrouter_workspace_budget"), {}, AccountOutOfMoney),
    (403, err("spent", scope="key", limit_usd=10, spend_usd=10), {}, AccountOutOfMoney),
    (403, err("Key limit exceeded (monthly limit)."), {}, AccountOutOfMoney),
    (403, err("flagged", reasons=["violence"], flagged_input="bad words"), {}, AccessDenied),
    (403, err("no permission", error_type="permission_denied"), {}, AccessDenied),
    (403, err("not in your region", availability="region_restricted"), {}, ModelUnsuitable),
    (401, err("No cookie auth credentials found"), {}, AccessDenied),
    (401, b"", {}, AccessDenied),
    # 400, 404, 413, 422: the model, or the request
    (400, err("foo/bar is not a valid model ID"), {}, ModelUnsuitable),
    (400, err("x", availability="model_not_found"), {}, ModelUnsuitable),
    (400, err("x", availability="wrong_endpoint"), {}, ModelUnsuitable),
    (400, err(CONTEXT), {}, ModelUnsuitable),
    (400, err("x", error_type="context_length_exceeded"), {}, ModelUnsuitable),
    (400, err("This model does not support tools"), {}, ModelUnsuitable),
    (400, err("invalid parameter", error_type="invalid_request"), {}, RequestRejected),
    (400, err("x", error_type="invalid_prompt"), {}, RequestRejected),
    (400, err("x", error_type="content_policy_violation"), {}, AccessDenied),
    (404, err("No endpoints found that support tool use"), {}, ModelUnsuitable),
    (404, err("No models match", availability="constraint_filtered"), {}, ModelUnsuitable),
    (404, {"object": "error", "message": "The model `x` does not exist."}, {}, ModelUnsuitable),
    (404, {"error": "model 'x' not found"}, {}, ModelUnsuitable),
    (404, b"<html>not here</html>", {}, RequestRejected),
    (404, {"detail": "Not Found"}, {}, RequestRejected),
    (413, err("x", error_type="context_length_exceeded"), {}, ModelUnsuitable),
    (413, err("Request body too large", error_type="payload_too_large"), {}, RequestRejected),
    (422, err("semantic", error_type="unprocessable"), {}, RequestRejected),
    (405, b"", {}, RequestRejected),
    (418, b"", {}, RequestRejected),
    (307, b"", {"Location": "https://elsewhere.test/"}, RequestRejected),
    # after sending: perhaps billed
    (408, err("Operation timed out."), {}, OutcomeUnknown),
    (500, err("Internal Server Error"), {}, OutcomeUnknown),
    (502, err("Provider returned error", raw="boom"), {}, OutcomeUnknown),
    (502, b"<html>502 Bad Gateway</html>", {}, OutcomeUnknown),
    (504, err("x"), {}, OutcomeUnknown),
    (524, err("x"), {}, OutcomeUnknown),
    (520, b"", {}, OutcomeUnknown),
]

FATES = {
    Busy: (HoldFate.RELEASED, NextStep.WAIT_THEN_NEXT),
    AccountLimited: (HoldFate.RELEASED, NextStep.WAIT_THEN_PARK),
    InFlightLimited: (HoldFate.RELEASED, NextStep.WAIT_THEN_PARK),
    TooExpensive: (HoldFate.RELEASED, NextStep.FIT_SMALLER),
    AccountOutOfMoney: (HoldFate.RELEASED, NextStep.PARK),
    ModelUnsuitable: (HoldFate.RELEASED, NextStep.NEXT_MODEL),
    RequestRejected: (HoldFate.RELEASED, NextStep.STOP),
    AccessDenied: (HoldFate.RELEASED, NextStep.STOP),
    OutcomeUnknown: (HoldFate.UNKNOWN, NextStep.NEXT_MODEL),
}


@pytest.mark.parametrize(("status", "body", "headers", "leaf"), CASES)
async def test_refusal_becomes_the_leaf_of_its_row(scripted, call, status, body, headers, leaf):
    client = scripted(status, body, {"X-Generation-Id": "gen-1", **headers}).client
    with pytest.raises(UpstreamFailed) as caught:
        await client.complete(call, deadline_s=5)
    failure = caught.value
    assert type(failure) is leaf
    assert (failure.hold_fate, failure.next_step) == FATES[leaf]
    assert (failure.status, failure.generation_id) == (status, "gen-1")


@pytest.mark.parametrize(("status", "body", "headers", "leaf"), CASES)
async def test_stream_refused_before_its_start_becomes_the_same_leaf(
    scripted, call, status, body, headers, leaf
):
    client = scripted(status, body, headers).client
    with pytest.raises(leaf):
        [part async for part in client.stream(call, deadline_s=5)]


@pytest.mark.parametrize(
    ("headers", "metadata", "wait_s"),
    [
        ({"Retry-After": "7"}, {}, 7),
        ({"Retry-After": "0"}, {}, 0),
        ({"Retry-After": "86400"}, {}, 86400),
        ({"Retry-After": "1.5"}, {}, 1.5),
        ({"Retry-After": "Sun, 22 Nov 2026 12:00:30 GMT"}, {}, 30),
        ({"Retry-After": "Sun, 22 Nov 2026 11:00:00 GMT"}, {}, 0),
        ({"Retry-After": "soon"}, {}, None),
        ({"Retry-After": "-5"}, {}, None),
        ({"Retry-After": "9" * 400}, {}, None),
        ({"Retry-After": "Mon, 99 Nov 2026 99:99:99 GMT"}, {}, None),
        ({"Retry-After": "garbage", "X-RateLimit-Reset": DAY_RESET_MS}, {}, 43200),
        ({}, {"retry_after": 9}, 9),
        ({}, {"headers": OWN}, 43200),  # twelve hours to midnight
        ({}, {}, None),
    ],
)
async def test_busy_says_how_long_to_wait_when_the_upstream_does(
    scripted, call, headers, metadata, wait_s
):
    client = scripted(429, err("x", **metadata), headers).client
    with pytest.raises(UpstreamFailed) as caught:
        await client.complete(call, deadline_s=5)
    assert caught.value.retry_after_s == wait_s


def test_http_date_counts_from_now():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    date = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert retry_after_s(date, now=now) == 90


async def test_failure_shows_the_providers_own_words(scripted, call):
    body = err("Provider returned error", raw="deepseek is rate-limited upstream")
    with pytest.raises(Busy, match="429: Provider returned error: deepseek is rate-limited"):
        await scripted(429, body).client.complete(call, deadline_s=5)


async def test_failure_text_holds_no_key_no_prompt_and_no_control_character(scripted, call):
    key = scripted().client._key
    prompt = call.messages[0]["content"]
    text = f"bad\x1b[31m key {key} or {key[:12]}...\r\nin: {prompt.upper()} {prompt} " + "z" * 999
    with pytest.raises(RequestRejected) as caught:
        await scripted(400, err(text)).client.complete(call, deadline_s=5)
    message = caught.value.message
    assert len(message) <= 300
    assert message.startswith("bad [31m key [secret] or [secret]... in: SUMMARISE THE")
    assert "[prompt]" in message
    assert "Aardvark" not in message and key[:12] not in message
    assert message.isprintable()


async def test_failure_text_holds_no_short_prompt(scripted, call):

    asked = replace(
        call, messages=[{"role": "user", "content": [{"type": "text", "text": "PIN 4711-22"}]}]
    )
    with pytest.raises(RequestRejected) as caught:
        await scripted(400, err("cannot read 'PIN 4711-22'")).client.complete(asked, deadline_s=5)
    assert caught.value.message == "cannot read '[prompt]'"


async def test_bad_answer_keeps_its_hold_unless_the_bill_is_stated(scripted, call, answer):
    for usage, fate in ((answer()["usage"], HoldFate.SETTLED), (None, HoldFate.UNKNOWN)):
        body = answer(choices=[], usage=usage)
        with pytest.raises(BadAnswer) as caught:
            await scripted(200, body).client.complete(call, deadline_s=5)
        assert caught.value.hold_fate is fate
