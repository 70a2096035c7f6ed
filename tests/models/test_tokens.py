from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.simulator.tokens import prompt_tokens
from models.tokens import (
    IMAGE_TOKENS_UNKNOWN,
    byte_count,
    image_count,
    image_tokens_bound,
    low_detail_count,
    prompt_tokens_bound,
    prompt_tokens_estimate,
)

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
LOW = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64," + "A" * 9999, "detail": "low"},
}
HIGH = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("messages", "bound"),
    [
        ([user("hello")], 5 + 8 + 8),
        ([user("héllo")], 6 + 8 + 8),
        ([user("a"), user("b")], 2 + 16 + 8),
        ([user(None)], 16),
        ([user([{"type": "text", "text": "hello"}, LOW, HIGH])], 21),
        ([user([{"type": "odd", "data": "x"}])], 16 + len('{"type":"odd","data":"x"}')),
        ([user(["bare"])], 16 + len('"bare"')),
        ([user("") | {"name": "ann"}], 16 + 3),
        ([user("") | {"tool_calls": [{"id": "1"}]}], 16 + len('[{"id":"1"}]')),
    ],
)
def test_prompt_bound_counts_the_bytes_of_every_text_but_images(messages, bound):
    assert prompt_tokens_bound(messages) == bound


def test_prompt_bound_counts_tools_and_schema_with_what_providers_add():
    compact = len(json.dumps([TOOL], separators=(",", ":")))
    assert prompt_tokens_bound([user("x")], [TOOL]) == 17 + 600 + compact
    assert prompt_tokens_bound([user("x")], None, {"type": "json_object"}) == 17 + 600 + 22


texts = st.text(max_size=200)


@given(st.lists(texts, min_size=1, max_size=5), st.lists(texts, max_size=2))
def test_prompt_bound_is_never_below_what_the_simulator_counts(contents, names):
    messages = [user(text) for text in contents]
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    for author in ("openai", "anthropic"):
        assert prompt_tokens(messages, (tools, None), author) <= prompt_tokens_bound(
            messages, tools
        )


def test_prompt_estimate_takes_three_and_a_half_bytes_for_a_token():
    assert prompt_tokens_estimate(3500) == 1000
    assert prompt_tokens_estimate(1) == 1


def test_byte_count_counts_a_lone_surrogate():
    assert byte_count("\ud800") == 3


@pytest.mark.parametrize(
    ("model_id", "high", "low"),
    [
        ("openai/gpt-4o-mini", 48_200, 2_900),
        ("openai/gpt-4o", 1_600, 100),
        ("anthropic/claude-opus-5.5", 5_000, 5_000),
        ("x/unknown", *IMAGE_TOKENS_UNKNOWN),
    ],
)
def test_image_bound_depends_on_the_model_and_the_detail(model_id, high, low):
    assert image_tokens_bound(model_id, images=3, images_low=1) == 2 * high + low
    assert image_tokens_bound(model_id, images=0, images_low=0) == 0


def test_images_are_counted_with_their_detail():
    messages = [user([LOW, HIGH, {"type": "text", "text": "?"}]), user("x")]
    assert image_count(messages) == 2
    assert low_detail_count([LOW, HIGH, {"type": "image", "image_url": "x"}]) == 1
