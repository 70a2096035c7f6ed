from __future__ import annotations

from uuid import UUID

import pytest
from pydantic import ValidationError

from models.request import RoutingRequest

TASK = UUID(int=7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": " \n"}, "the prompt is empty"),
        ({"messages": []}, "messages needs at least one message"),
        ({"messages": [{"content": "x"}]}, "messages needs at least one message"),
        ({}, "give exactly one of prompt and messages"),
        (
            {"prompt": "x", "messages": [{"role": "user", "content": "x"}]},
            "give exactly one of prompt and messages",
        ),
        ({"prompt": "x", "max_cost_usd": "-1"}, "greater than or equal to 0"),
        ({"prompt": "x", "unheard_of": 1}, "Extra inputs are not permitted"),
    ],
)
def test_request_is_refused_when_it_is_wrong(fields, message):
    with pytest.raises(ValidationError, match=message):
        RoutingRequest(**fields)


def test_request_turns_a_prompt_into_one_message():
    assert RoutingRequest(prompt="hi").chat_messages() == [{"role": "user", "content": "hi"}]
    messages = [{"role": "system", "content": "s"}]
    assert RoutingRequest(messages=messages).chat_messages() == messages


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, None),
        ({"task_id": TASK}, None),
        ({"step": "one"}, None),
        ({"task_id": TASK, "step": "one"}, f"{TASK}/one"),
        ({"task_id": TASK, "step": "one", "idempotency_key": "k"}, "k"),
    ],
)
def test_request_names_the_callers_key(fields, key):
    assert RoutingRequest(prompt="x", **fields).caller_key() == key


def test_key_of_one_tenant_is_not_that_of_another():
    keys = {RoutingRequest(prompt="x", idempotency_key="k", tenant=t).caller_key() for t in "ab"}
    assert keys == {"a/k", "b/k"}
    assert RoutingRequest(prompt="x", tenant="a").caller_key() is None


def test_fingerprint_tells_tenants_apart_so_that_a_key_never_brings_anothers_answer():
    prints = {RoutingRequest(prompt="x", tenant=one).fingerprint() for one in (None, "a", "b")}
    assert len(prints) == 3


def test_fingerprint_changes_with_what_shapes_the_answer_only():
    base = RoutingRequest(prompt="x")
    assert base.fingerprint() == RoutingRequest(prompt="x", priority=9).fingerprint()
    assert base.fingerprint() == RoutingRequest(prompt="x", metadata={"a": 1}).fingerprint()
    assert base.fingerprint() != RoutingRequest(prompt="y").fingerprint()
    assert base.fingerprint() != RoutingRequest(prompt="x", max_tokens=9).fingerprint()
