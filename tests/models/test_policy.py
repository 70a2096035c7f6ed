"""Seed component 1: routing policies, as documents."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from jsonschema import Draft202012Validator

from models.errors import InvalidPolicy, NotFound
from models.policy import (
    Complexity,
    claim_problems,
    parse_policy,
    parse_policy_text,
    policy_for,
    policy_schema,
)
from tests.models.builders import policy_of

SEED_EXAMPLE = """{
    "name": "normal",
    "description": "Balanced cost and performance",
    "models": [
        {"provider": "openai", "model": "gpt-4o-mini", "priority": 1},
        {"provider": "anthropic", "model": "claude-3-5-sonnet", "priority": 2}
    ],
    "max_cost_per_task": 0.10,
    "max_tokens": 4000,
    "temperature": 0.7
}"""
MODEL = {"model": "openai/gpt-4o", "priority": 1}
LEAST = {"name": "p", "models": [MODEL], "max_cost_per_task": "0.1"}


def problems_of(document: object) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(document)
    return caught.value.problems


def text_problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy_text(text)
    return caught.value.problems


def test_policy_structure_of_the_seed_is_read_as_it_stands():
    (policy,) = parse_policy_text(SEED_EXAMPLE)
    assert policy.max_cost_per_task == Decimal("0.10")
    assert [entry.model_id for entry in policy.ordered_models()] == [
        "openai/gpt-4o-mini",
        "anthropic/claude-3.5-sonnet",  # OpenRouter's spelling
    ]
    assert [entry.provider for entry in policy.models] == ["openai", "anthropic"]
    assert policy == parse_policy(json.loads(SEED_EXAMPLE))


def test_policy_survives_its_own_stored_document():
    policy = policy_of(
        "a/b",
        pause_above=0.8,
        expensive_above_usd="0.02",
        task_types=["x"],
        complexity="complex",
        on_exhausted="park",
    )
    stored = policy.stored()
    assert "version" not in stored
    assert "is_active" not in stored
    assert stored["max_cost_per_task"] == "1"
    assert parse_policy(json.loads(json.dumps(stored))) == policy
    assert policy.pause_above == Decimal("0.8")


def test_policy_orders_its_models_by_priority():
    policy = parse_policy(
        LEAST
        | {"models": [{"model": "a/last", "priority": 9}, {"model": "a/first", "priority": 2}]}
    )
    assert [entry.model_id for entry in policy.ordered_models()] == ["a/first", "a/last"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "Not A Name"}, "$.name: String should match"),
        ({"colour": "red"}, "$.colour: is not a field of a policy"),
        ({"models": []}, "$.models: Tuple should have at least 1 item"),
        ({"models": [7]}, "$.models[0]: Input should be a valid dictionary"),
        ({"models": [{"model": "a/b"}]}, "$.models[0].priority: is missing"),
        ({"models": [{"priority": 1}]}, "$.models[0].model: is missing"),
        (
            {"models": [{"model": "gpt-4o", "priority": 1}]},
            "$.models[0]: 'gpt-4o' needs a provider",
        ),
        (
            {"models": [MODEL | {"provider": "azure"}]},
            "$.models[0]: provider 'azure' is not that of 'openai/gpt-4o'",
        ),
        ({"models": [MODEL, MODEL]}, "$.models: names openai/gpt-4o more than once"),
        (
            {"models": [MODEL, {"model": "a/b", "priority": 1}]},
            "$.models: gives priority 1 to more than one model",
        ),
        (
            {"models": [{"model": f"a/m{n}", "priority": n} for n in range(1, 22)]},
            "$.models: Tuple should have at most 20 items",
        ),
        ({"max_cost_per_task": "-1"}, "$.max_cost_per_task: Input should be greater"),
        ({"max_cost_per_task": "0"}, "$.max_cost_per_task: must be above 0"),
        ({"max_cost_per_task": float("nan")}, "$.max_cost_per_task: nan is not a JSON number"),
        ({"temperature": 3}, "$.temperature: Input should be less than or equal to 2 (was 3)"),
        ({"task_types": ["x", "x"]}, "$.task_types: names x more than once"),
        ({"pause_above": 0.8}, "$: pause_above and expensive_above_usd go together"),
        ({"pause_above": 1.5}, "$.pause_above: Input should be less than or equal to 1"),
        ({"complexity": "hard"}, "$.complexity: Input should be 'simple', 'moderate' or"),
        ({"description": "x" * 70_000}, "$: is larger than 64 KiB"),
    ],
)
def test_parse_policy_names_the_problem_when_a_field_is_wrong(change, problem):
    found = problems_of(LEAST | change)
    assert any(line.startswith(problem) for line in found), found


def test_parse_policy_names_every_problem_at_once():
    document = LEAST | {
        "name": "",
        "models": [{"model": "nope", "priority": 0}, {"model": "a/b", "priority": 0}],
        "max_tokens": 0,
        "extra": 1,
    }
    found = problems_of(document)
    assert [line.partition(":")[0] for line in found] == [
        "$.name",
        "$.models[0]",
        "$.models[1].priority",
        "$.max_tokens",
        "$.extra",
    ]


def test_parse_policy_refuses_what_is_no_object():
    assert problems_of(["x"]) == ("$: Input should be a valid dictionary or instance of Policy",)


def test_parse_policy_refuses_a_document_that_is_nested_too_deeply():
    deep: object = "x"
    for _ in range(20):
        deep = [deep]
    (problem,) = problems_of(LEAST | {"description": deep})
    assert problem.endswith("is nested deeper than 16 levels")


@pytest.mark.parametrize(
    "wrap",
    ["{one}", "[{one}]", '{{"policies": [{one}]}}'],
)
def test_parse_policy_text_reads_one_policy_a_list_and_an_object_of_policies(wrap):
    policies = parse_policy_text(wrap.format(one=json.dumps(LEAST)))
    assert [policy.name for policy in policies] == ["p"]


def test_parse_policy_text_reads_numbers_by_their_digits():
    text = json.dumps(LEAST).replace('"0.1"', "0.100000000000000000001")
    assert parse_policy_text(text)[0].max_cost_per_task == Decimal("0.100000000001")  # rounded up


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "$: is not JSON"),
        ('{"max_cost_per_task": NaN}', "$: is not JSON: NaN is not a JSON number"),
        ("[" * 30_000, "$: is nested deeper than 16 levels"),
        ("[" * 20 + "]" * 20, "$[0][0][0]"),
        (" " * 70_000, "$: is larger than 64 KiB"),
        ('{"policies": 1}', "$.policies: is not a list of policies"),
        ("3", "$: Input should be a valid dictionary"),
    ],
)
def test_parse_policy_text_names_the_problem_when_the_file_is_wrong(text, problem):
    assert text_problems_of(text)[0].startswith(problem)


def test_parse_policy_text_names_keys_given_twice_beside_other_problems():
    text = (
        '[{"name": "p", "name": "q", "models": [{"model": "a/b", "priority": 1, "priority": 2}]}]'
    )
    assert text_problems_of(text) == (
        "$[0].name: is given more than once",
        "$[0].models[0].priority: is given more than once",
        "$[0].max_cost_per_task: is missing",
    )


def test_parse_policy_text_refuses_a_repeated_key_when_all_else_is_right():
    text = json.dumps(LEAST)[:-1] + ', "name": "p"}'
    assert text_problems_of(text) == ("$.name: is given more than once",)


def test_parse_policy_text_names_the_problems_of_every_policy():
    document = [
        LEAST,
        LEAST | {"task_types": ["x"]},
        LEAST | {"name": "q", "task_types": ["x"]},
        {},
    ]
    assert text_problems_of(json.dumps(document)) == (
        "$[3].name: is missing",
        "$[3].models: is missing",
        "$[3].max_cost_per_task: is missing",
        "$: policy 'p' is given more than once",
        "$: task type 'x' is claimed by 2 active policies: p, q",
    )


def test_claims_of_inactive_policies_do_not_count():
    policies = [
        policy_of("a/b", name="one", task_types=["x"]),
        policy_of("a/b", name="two", task_types=["x"], is_active=False),
    ]
    assert claim_problems(policies) == ()


def test_policy_schema_accepts_what_the_parser_accepts():
    validator = Draft202012Validator(policy_schema())
    stored = policy_of("a/b").stored()
    assert list(validator.iter_errors(stored)) == []
    assert list(validator.iter_errors(stored | {"colour": "red"}))


def test_complexity_ranks_from_simple_to_complex():
    assert [part.rank for part in Complexity] == [0, 1, 2]


POLICIES = (
    policy_of("a/b", name="code", task_types=["fix_bug"]),
    policy_of("a/b", name="old", task_types=["nap"], is_active=False),
    policy_of("a/b", name="normal"),
)


@pytest.mark.parametrize(
    ("task_type", "requested", "name", "reason"),
    [
        ("fix_bug", None, "code", "policy code: serves fix_bug"),
        ("fix_bug", "normal", "normal", "policy normal: asked for"),
        ("nap", None, "normal", "policy normal: no active policy claims task type 'nap'"),
        ("juggle", None, "normal", "policy normal: no active policy claims task type 'juggle'"),
    ],
)
def test_policy_for_prefers_what_was_asked_then_the_claim_then_normal(
    task_type, requested, name, reason
):
    choice = policy_for(task_type, POLICIES, requested)
    assert (choice.policy.name, choice.reason) == (name, reason)


@pytest.mark.parametrize(
    ("policies", "requested", "message"),
    [
        (POLICIES, "nope", "there is no policy 'nope'; known: code, normal, old"),
        (POLICIES, "old", "policy 'old' is inactive"),
        ((), "x", "there is no policy 'x'; known: none"),
        (POLICIES[:2], None, "no active policy serves task type 'nap'"),
    ],
)
def test_policy_for_says_what_is_missing_when_there_is_no_policy(policies, requested, message):
    with pytest.raises(NotFound, match=message):
        policy_for("nap", policies, requested)
