"""The diff of a policy, field by field."""

from __future__ import annotations

from models.policy.changes import change_lines, field_changes
from tests.models.builders import policy_of


def test_only_what_differs_is_listed_and_versions_are_not():
    before = policy_of("a/x", "b/y", max_tokens=1000)
    after = policy_of("a/x", "b/y", max_tokens=500, version=7)
    (change,) = field_changes(before, after)
    assert (change.policy, change.field, change.before, change.after) == (
        "normal", "max_tokens", 1000, 500,
    )  # fmt: skip
    assert list(change_lines(change)) == ["max_tokens: 1000 -> 500"]


def test_models_that_come_and_go_are_named_with_their_priority():
    (change,) = field_changes(policy_of("a/x", "b/y"), policy_of("a/x", "c/z"))
    assert list(change_lines(change)) == ["models: - 2 b/y", "models: + 2 c/z"]


def test_new_policy_shows_all_of_it_and_the_same_one_nothing():
    assert {one.field for one in field_changes(None, policy_of("a/x"))} >= {"name", "models"}
    assert field_changes(policy_of("a/x"), policy_of("a/x")) == ()


def test_taking_a_policy_out_of_use_is_a_change():
    (change,) = field_changes(policy_of("a/x"), policy_of("a/x", is_active=False))
    assert list(change_lines(change)) == ["is_active: True -> False"]
