"""Seed: the four default routing policies, one test per row, and what becomes of retired models."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from deployments.simulator.catalogue import catalogue
from models.classification import Classification
from models.default_policies import (
    SUCCESSORS,
    default_policies,
    listed_or_successor,
    model_ids_in_use,
    substitutions,
)
from models.policy import Complexity, claim_problems
from models.pricing import ModelCard, TokenPrice
from models.selection import select
from models.task_types import TASK_TYPES
from tests.models.builders import NOW, budget_of, features_of, snapshot_of

CARDS = tuple(
    ModelCard(
        model.model_id,
        model.author,
        TokenPrice(model.tier_price.prompt, model.tier_price.completion, None, write),
        model.context_tokens,
        model.max_output_tokens,
        frozenset({"tools"}),
        "simulator",
        NOW,
    )
    for model in catalogue().values()
    for write in [model.tier_price.cache_write]
)
LISTED = frozenset(card.model_id for card in CARDS)
BY_NAME = {policy.name: policy for policy in default_policies(LISTED)}


def ids_of(name: str) -> list[str]:
    return [entry.model_id for entry in BY_NAME[name].ordered_models()]


def planned(name: str, complexity: Complexity, **features) -> list[str]:
    snapshot = snapshot_of(
        policy=BY_NAME[name],
        cards=CARDS,
        classification=Classification("x", "given", complexity, 2.0),
        features=features_of(**features),
        budgets=(budget_of(),),
    )
    return [candidate.model_id for candidate in select(snapshot).candidates]


@pytest.mark.parametrize(
    ("name", "primary", "fallback", "max_cost"),
    [
        ("normal", "openai/gpt-4o-mini", "anthropic/claude-sonnet-5.5", "0.10"),
        ("deep_research", "openai/gpt-4o", "anthropic/claude-opus-5.5", "1.00"),
        ("code", "openai/gpt-4o", "anthropic/claude-sonnet-5.5", "0.50"),
        ("ops", "openai/gpt-3.5-turbo", "anthropic/claude-3-haiku", "0.01"),
    ],
)
def test_default_policy_has_the_models_and_the_limit_of_the_seed(name, primary, fallback, max_cost):
    policy = BY_NAME[name]
    assert ids_of(name)[:2] == [primary, fallback]
    assert policy.max_cost_per_task == Decimal(max_cost)
    assert planned(name, policy.complexity)[:2] == [primary, fallback]


def test_default_policies_are_exactly_the_four_of_the_seed():
    assert list(BY_NAME) == ["normal", "deep_research", "code", "ops"]
    assert claim_problems(BY_NAME.values()) == ()


@pytest.mark.parametrize("name", BY_NAME)
def test_default_policy_tries_a_cheaper_model_after_an_expensive_one(name):
    """Seed: "If expensive model fails -> try cheaper model"."""
    assert len(planned(name, BY_NAME[name].complexity)) == 3
    prices = {card.model_id: card.price.completion_usd for card in CARDS}
    plan = planned(name, BY_NAME[name].complexity)
    assert prices[plan[2]] < max(prices[plan[0]], prices[plan[1]])


@pytest.mark.parametrize("name", ["normal", "deep_research", "code"])
def test_default_policy_starts_cheaper_when_the_task_is_simpler_than_expected(name):
    """Seed: "If task is simpler than expected -> use cheaper model"."""
    prices = {card.model_id: card.price.completion_usd for card in CARDS}
    usual, simple = planned(name, BY_NAME[name].complexity), planned(name, Complexity.SIMPLE)
    assert prices[simple[0]] < prices[usual[0]]


@pytest.mark.parametrize(
    ("name", "prompt_bytes"),
    [("normal", 24_000), ("deep_research", 160_000), ("code", 160_000), ("ops", 15_000)],
)
def test_default_policy_answers_in_full_when_the_prompt_is_realistic(name, prompt_bytes):
    snapshot = snapshot_of(
        policy=BY_NAME[name],
        cards=tuple(replace(card, context_tokens=1_000_000) for card in CARDS),
        classification=Classification("x", "given", BY_NAME[name].complexity, 2.0),
        features=features_of(text_tokens_bound=prompt_bytes),
    )
    first = select(snapshot).candidates[0]
    assert first.max_tokens == BY_NAME[name].max_tokens


@pytest.mark.parametrize(
    ("task_type", "policy"),
    [
        ("investigate_error", "code"),
        ("deploy_code", "code"),
        ("analyze_logs", "normal"),
        ("fix_bug", "code"),
        ("simple_query", "ops"),
    ],
)
def test_task_type_is_served_by_the_policy_of_the_seeds_map(task_type, policy):
    assert task_type in BY_NAME[policy].task_types


def test_every_built_in_task_type_is_served_by_one_default_policy():
    served = [name for policy in BY_NAME.values() for name in policy.task_types]
    assert sorted(served) == sorted(TASK_TYPES)


def test_default_policies_take_successors_when_models_are_no_longer_listed():
    listed = LISTED - {"openai/gpt-3.5-turbo", "anthropic/claude-3-haiku", "openai/gpt-4o"}
    found = {policy.name: policy for policy in default_policies(listed)}
    assert [entry.model_id for entry in found["ops"].models][:2] == [
        "openai/gpt-4.1-nano",
        "anthropic/claude-haiku-5.5",
    ]
    assert found["code"].models[0].model_id == "openai/gpt-4.1"
    assert "openai/gpt-3.5-turbo is not listed: openai/gpt-4.1-nano in its place" in substitutions(
        listed
    )


def test_default_policies_keep_the_seeds_ids_when_nothing_is_listed():
    normal = default_policies(frozenset())[0]
    assert normal.models[0].model_id == "openai/gpt-4o-mini"
    assert all(line.endswith("left out") for line in substitutions(()))


def test_default_policies_name_a_model_once_when_two_slots_have_one_successor():
    (normal, *_) = default_policies({"openai/gpt-4.1-nano"})
    assert [entry.model_id for entry in normal.models] == ["openai/gpt-4.1-nano"]


def test_a_model_is_its_own_successor_when_it_is_listed():
    assert listed_or_successor("openai/gpt-4o", LISTED) == "openai/gpt-4o"
    assert listed_or_successor("x/unheard-of", LISTED) is None


def test_model_ids_in_use_name_every_model_that_may_be_chosen():
    named = set(model_ids_in_use())
    assert named >= {entry.model_id for policy in BY_NAME.values() for entry in policy.models}
    assert named >= {option for options in SUCCESSORS.values() for option in options}
