"""Whether two short answers say the same."""

from __future__ import annotations

import pytest

from models.agreement import COMPARED_CHARS_MAX, agrees


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("42", " 42.\n"),
        ("42", "42.0"),
        ("1e3", "1000"),
        ("Yes", "yes!"),
        ("Paris", '"Paris."'),
        ("the  same\nwords", "The same words"),
        ('{"a": 1, "b": [2, null]}', '{"b": [2.0, null], "a": 1}'),
        ("```json\n[1, 2]\n```", "[1,2]"),
        ("Straße", "STRASSE"),
    ],
)
def test_answers_agree_when_only_their_writing_differs(first, second):
    assert agrees(first, second) and agrees(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("42", "43"),
        ("1", "true"),
        ("[1, 2]", "[2, 1]"),
        ('{"a": "x"}', '{"a": "X"}'),
        ("", ""),
        (" . ", "."),
        ("NaN", "nan2"),
        ("x" * (COMPARED_CHARS_MAX + 1), "x" * (COMPARED_CHARS_MAX + 1)),
        ("[" * 5000, "[" * 4999),
    ],
)
def test_answers_do_not_agree_when_they_say_something_else(first, second):
    assert not agrees(first, second)
