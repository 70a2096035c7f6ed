from __future__ import annotations

from decimal import Decimal

import pytest

from models.features import request_features
from models.request import OnExhausted, RoutingRequest

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}


def features_of(**fields):
    if "messages" not in fields:
        fields["prompt"] = "hello"
    return request_features(RoutingRequest(**fields))


def test_features_hold_what_the_selection_needs_and_no_text():
    features = features_of(max_cost_usd="0.1", max_tokens=9, model="a/b", worker_id="w", priority=3)
    assert features.text_tokens_bound == 21
    assert features.text_tokens_estimate == 6
    assert (features.max_cost_usd, features.max_tokens) == (Decimal("0.1"), 9)
    assert (features.model, features.worker_id, features.priority) == ("a/b", "w", 3)
    assert features.answers == 1
    assert features.unbounded == ()


def test_features_leave_the_choice_to_the_policy_unless_the_caller_made_it():
    assert features_of().on_exhausted is None
    assert features_of(on_exhausted="downgrade").on_exhausted is OnExhausted.DOWNGRADE


def test_features_count_images_and_need_a_model_that_sees():
    features = features_of(messages=[{"role": "user", "content": [IMAGE, IMAGE]}])
    assert (features.images, features.images_low) == (2, 2)
    assert features.abilities == ("image",)


@pytest.mark.parametrize(
    ("fields", "abilities"),
    [
        ({"tools": [{"type": "function"}]}, ("tools",)),
        ({"response_format": {"type": "json_object"}}, ("response_format",)),
        ({"response_format": {"type": "json_schema"}}, ("structured_outputs",)),
        ({"response_format": {"type": "text"}}, ()),
    ],
)
def test_features_name_the_abilities_that_a_model_needs(fields, abilities):
    assert features_of(**fields).abilities == abilities


@pytest.mark.parametrize(("asked", "answers"), [(3, 3), (1, 1), (0, 1), ("4", 1)])
def test_features_count_how_many_answers_are_asked_for(asked, answers):
    assert features_of(extra_body={"n": asked}).answers == answers


@pytest.mark.parametrize(
    ("fields", "unbounded"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "file"}, "text"]}]},
            ("content of type 'file'",),
        ),
        (
            {"tools": [{"type": "openrouter:web_search"}]},
            ("the server tool 'openrouter:web_search'",),
        ),
        ({"extra_body": {"plugins": [{"id": "web"}]}}, ("the plugin 'web'",)),
        ({"extra_body": {"plugins": ["fusion"]}}, ("the plugin 'fusion'",)),
        ({"extra_body": {"plugins": [{"id": "response-healing"}]}}, ()),
        ({"extra_body": {"plugins": "web"}}, ()),
        ({"extra_body": {"web_search_options": {}}}, ("a web search",)),
    ],
)
def test_features_name_what_has_no_bound_on_its_cost(fields, unbounded):
    assert features_of(**fields).unbounded == unbounded
