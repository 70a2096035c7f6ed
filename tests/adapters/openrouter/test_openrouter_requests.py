"""What is sent: the bounds of the hold, the caller's own fields, and nothing that breaks them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.errors import RequestRejected

pytestmark = pytest.mark.anyio


async def test_request_carries_the_bounds_of_its_hold(scripted, call, answer):
    script = scripted(200, answer())
    await script.client.complete(call, deadline_s=5)
    assert script.sent == {
        "model": "openai/gpt-4o-mini",
        "messages": call.messages,
        "max_tokens": 64,
        "stream": False,
        "provider": {"max_price": {"prompt": "0.15", "completion": "0.6"}},
    }
    request = script.requests[0]
    assert request.url == "https://openrouter.test/api/v1/chat/completions"
    assert request.headers["authorization"].startswith("Bearer sk-or-v1-CANARY")


async def test_request_passes_unknown_fields_and_keeps_its_own(scripted, call, answer):
    asked = replace(
        call,
        temperature=0.0,
        tools=[{"type": "function", "function": {"name": "f"}}],
        tool_choice="auto",
        response_format={"type": "json_object"},
        attempt_id="attempt-1",
        extra_body={
            "top_k": 5,
            "reasoning": {"effort": "low"},
            "provider": {"order": ["openai"], "max_price": {"prompt": "99"}},
            "metadata": {"team": "blue"},
            "model": "openai/o1-pro",
            "models": ["openai/o1-pro"],
            "max_tokens": 10**6,
            "max_completion_tokens": 10**6,
            "n": 8,
            "stream": True,
            "temperature": 2,
        },
    )
    script = scripted(200, answer())
    await script.client.complete(asked, deadline_s=5)
    assert script.sent == {
        "model": "openai/gpt-4o-mini",
        "messages": call.messages,
        "max_tokens": 64,
        "stream": False,
        "temperature": 0.0,
        "tools": asked.tools,
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "top_k": 5,
        "reasoning": {"effort": "low"},
        "provider": {
            "order": ["openai"],
            "max_price": {"prompt": "0.15", "completion": "0.6"},
        },
        "metadata": {"team": "blue", "switchyard_attempt": "attempt-1"},
    }


async def test_request_has_no_fields_of_openrouter_when_the_upstream_is_strict(
    scripted, call, answer
):
    script = scripted(200, answer(), base="https://api.openai.com/v1")
    await script.client.complete(replace(call, attempt_id="a"), deadline_s=5)
    assert set(script.sent) == {"model", "messages", "max_tokens", "stream"}


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800"])
async def test_nothing_is_sent_when_the_request_has_no_json_form(scripted, call, value):
    script = scripted(200)
    with pytest.raises(RequestRejected, match="no JSON form"):
        await script.client.complete(replace(call, extra_body={"x": value}), deadline_s=5)
    assert script.requests == []


async def test_cache_control_reaches_the_upstream_wherever_it_stands(scripted, call, answer):
    control = {"type": "ephemeral", "ttl": "1h"}
    part = {"type": "text", "text": "a long text", "cache_control": control}
    messages = [{"role": "system", "content": [part]}, {"role": "user", "content": "Go on."}]
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": control}
    keys = {"cache_control": {"type": "ephemeral"}, "prompt_cache_key": "k", "session_id": "s"}
    script = scripted(200, answer())
    asked = replace(call, messages=messages, tools=[tool], extra_body=keys)
    await script.client.complete(asked, deadline_s=5)
    assert script.sent["messages"] == messages
    assert script.sent["tools"] == [tool]
    assert {name: script.sent[name] for name in keys} == keys


async def test_what_changes_with_every_attempt_comes_last(scripted, call, answer):
    script = scripted(200, answer())
    bodies = []
    for attempt_id in ("one/1", "two/1"):
        asked = replace(call, attempt_id=attempt_id, extra_body={"seed": 7})
        await script.client.complete(asked, deadline_s=5)
        bodies.append(script.requests[-1].content)
    (first, first_end), (second, second_end) = [body.split(b'"metadata":') for body in bodies]
    assert first == second and b'"messages"' in first
    assert (first_end, second_end) == (
        b'{"switchyard_attempt":"one/1"}}',
        b'{"switchyard_attempt":"two/1"}}',
    )
