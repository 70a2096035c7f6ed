from __future__ import annotations

import json
from typing import Any

import pytest

from models.batch import BatchCounts, answer_hash, group_key, parse_line
from models.classification import classify
from models.default_policies import default_policies
from models.features import request_features
from models.policy import policy_for
from models.request import RoutingRequest


def request(**fields: Any) -> RoutingRequest:
    return RoutingRequest.model_validate({"prompt": "Is it up?", "worker_id": "w1"} | fields)


def key_of(asked: RoutingRequest) -> object:
    classification = classify(asked)
    policy = policy_for(classification.task_type, default_policies(()), asked.policy).policy
    return group_key(policy, classification, request_features(asked), None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"prompt"', "not JSON: "),
        ("[1]", "the line is not a JSON object"),
        ('{"prompt": ""}', "prompt: the prompt is empty"),
        ('{"prompt": "a", "colour": 1}', "colour: Extra inputs are not permitted"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_bad_line_says_what_is_wrong(text: str, problem: str) -> None:
    line = parse_line(7, text)
    assert line.request is None
    assert line.number == 7
    assert problem in str(line.problem)


def test_line_of_a_capped_batch_has_no_task_of_its_own() -> None:
    text = json.dumps({"prompt": "a", "task_id": "5f0c2d0e-9c5c-4a0c-8d0a-000000000001"})
    assert parse_line(1, text).problem is None
    assert "one task itself" in str(parse_line(1, text, capped=True).problem)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"metadata": {"row": 2}}, True),
        ({"priority": 5}, True),
        ({"deadline_s": 5}, True),
        ({"worker_id": "w2"}, False),
        ({"temperature": 0.5}, False),
        ({"max_tokens": 10}, False),
        ({"prompt": "Is it down?"}, False),
        ({"accept": {"min_chars": 3}}, False),
    ],
)
def test_lines_ask_the_same_only_when_answer_and_payer_are_the_same(
    other: dict[str, Any], same: bool
) -> None:
    assert (answer_hash(request()) == answer_hash(request(**other))) is same


def test_line_with_a_key_is_a_duplicate_only_of_lines_with_that_key() -> None:
    keyed = answer_hash(request(idempotency_key="k"))
    assert keyed == answer_hash(request(idempotency_key="k"))
    assert keyed not in (answer_hash(request()), answer_hash(request(idempotency_key="l")))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"prompt": "Is it ok?"}, True),
        ({"prompt": "Is it up? " + "x" * 1000}, False),  # its hold would not bound the other's
        ({"task_type": "fix_bug"}, False),
        ({"policy": "code"}, False),
        ({"max_cost_usd": "0.01"}, False),
        ({"worker_id": "w2"}, False),
        ({"response_format": {"type": "json_object"}}, False),
    ],
)
def test_lines_form_a_group_when_one_choice_serves_both(other: dict[str, Any], same: bool) -> None:
    assert (key_of(request()) == key_of(request(**other))) is same


def test_group_is_as_large_as_its_largest_line() -> None:
    asked = request(prompt="x" * 1000)
    key = key_of(asked)
    bound = request_features(asked).text_tokens_bound
    assert bound <= key.features.text_tokens_bound < 2 * bound  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("by_status", "code"),
    [
        ({"completed": 3}, 0),
        ({"completed": 3, "invalid": 1}, 2),
        ({"parked": 1, "invalid": 1}, 4),
        ({"rejected": 1, "parked": 1}, 3),
        ({"failed": 1, "rejected": 1}, 1),
        ({"completed": 1, "pending": 1}, 1),
    ],
)
def test_exit_code_is_that_of_the_worst_line(by_status: dict[str, int], code: int) -> None:
    assert BatchCounts(lines=3, by_status=by_status).exit_code() == code
