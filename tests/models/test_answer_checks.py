from __future__ import annotations

import json

import pytest

from models.answer_checks import accept_problem, check_answer
from models.request import Accept

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "s": {"type": "string", "pattern": "^x+$"}},
    "required": ["a"],
}


def deep(levels: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("accept", "content", "problem"),
    [
        ({}, "", None),
        ({"min_chars": 3}, "abc", None),
        ({"min_chars": 4}, "abc", "the answer has 3 characters, fewer than 4"),
        ({"min_chars": 1}, "x" * 1_000_001, "the answer is too long to check"),
        ({"regex": "b.d"}, "a bad day", None),
        ({"regex": "^bad"}, "a bad day", "the answer does not match '^bad'"),
        ({"regex": "("}, "x", "not a pattern"),
        ({"regex": "(a+)+$"}, "a" * 5000 + "!", "the pattern '(a+)+$' took longer than"),
        ({"json_schema": SCHEMA}, '{"a": 1, "s": "xx"}', None),
        ({"json_schema": SCHEMA}, '{"a": "1"}', "the answer does not fit the schema at $.a"),
        (
            {"json_schema": SCHEMA},
            '{"a": 1, "s": "y"}',
            "the answer does not fit the schema at $.s",
        ),
        ({"json_schema": SCHEMA}, '{"a": 1, "s": 2}', "the answer does not fit the schema at $.s"),
        ({"json_schema": SCHEMA}, "Sure! {}", "the answer is not JSON"),
        ({"json_schema": SCHEMA}, '{"a": NaN}', "the answer is not JSON: NaN"),
        ({"json_schema": SCHEMA}, "[" * 200_000, "the answer is not JSON"),
        ({"json_schema": {"$ref": "#/nope"}}, "{}", "accept.json_schema: PointerToNowhere"),
        ({"json_schema": {"$ref": "#"}}, "{}", "the answer is nested too deeply"),
        ({"json_schema": {"type": 5}}, "{}", "accept.json_schema: not a schema"),
    ],
)
def test_check_answer_names_the_check_that_fails(accept, content, problem):
    found = check_answer(Accept(**accept), content)
    assert found is None if problem is None else found is not None and found.startswith(problem)


def test_check_answer_shortens_what_it_quotes():
    found = check_answer(Accept(json_schema={"type": "integer"}), json.dumps("x" * 5000))
    assert found is not None
    assert len(found) < 300


@pytest.mark.parametrize(
    ("accept", "problem"),
    [
        ({}, None),
        ({"regex": "a|b", "json_schema": SCHEMA}, None),
        ({"regex": "[a"}, "accept.regex: not a pattern"),
        ({"json_schema": {"type": "nonsense"}}, "accept.json_schema: not a schema"),
        ({"json_schema": {"$ref": "https://example.org/s"}}, "accept.json_schema: $ref"),
        ({"json_schema": {"patternProperties": {"a": {}}}}, "accept.json_schema: patternProp"),
        ({"json_schema": {"anyOf": [{"pattern": "(?P<a>x)(?P=b)"}]}}, "accept.json_schema: not a"),
        ({"json_schema": {"pattern": "a" * 1001}}, "accept.json_schema: the pattern is longer"),
        ({"json_schema": deep(40)}, "accept.json_schema: nested too deeply"),
        ({"json_schema": deep(5000)}, "accept.json_schema: nested too deeply"),
    ],
)
def test_accept_problem_is_found_before_anything_is_paid(accept, problem):
    made = Accept.model_construct(regex=None, json_schema=None, min_chars=None)
    found = accept_problem(made.model_copy(update=accept))
    assert found is None if problem is None else found is not None and found.startswith(problem)
