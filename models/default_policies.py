"""The seed's four default policies, with the models that the catalogue still lists.

The pairs are the seed's ("Default Routing Policies"), primary before fallback. Where a model of
the seed is no longer listed, its successor of the same maker takes the place: `SUCCESSORS`, ids and
prices from genai-prices 0.2.3, newest price of 2026-11-09. `openai/gpt-3.5-turbo` stays first in
`ops` for as long as it is listed, although litellm dates its end to 2026-10-23: the catalogue is
the truth, and when the upstream drops it the nightly refresh suspends it and the next model serves.

Every policy ends in a cheaper model of another maker, so that "if an expensive model fails, try a
cheaper one" and "a simpler task uses a cheaper model" have somewhere to go. In `normal` and
`deep_research` the seed's fallback is dearer than its primary (gpt-4o-mini 0.15/0.60, Claude Sonnet
2/10 USD per million), so these two say `fallbacks: any`: primary, then the seed's stronger
fallback, then the cheaper model. `code` and `ops` only ever get cheaper.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from models.policy import Complexity, Policy, PolicyModel
from models.task_types import types_served_by

# Seed's model -> present successors, best first. A model that is in no table succeeds itself.
SUCCESSORS: dict[str, tuple[str, ...]] = {
    "openai/gpt-4o-mini": ("openai/gpt-4.1-mini", "openai/gpt-5.6-luna", "openai/gpt-6-luna"),
    "openai/gpt-4o": ("openai/gpt-4.1", "openai/gpt-6.1-sol"),
    "openai/gpt-3.5-turbo": ("openai/gpt-4.1-nano", "openai/gpt-6-luna"),
    "anthropic/claude-3.5-sonnet": ("anthropic/claude-sonnet-5.5", "anthropic/claude-sonnet-5"),
    "anthropic/claude-3-opus": ("anthropic/claude-opus-5.5", "anthropic/claude-opus-5"),
    "anthropic/claude-3-haiku": ("anthropic/claude-haiku-5.5", "anthropic/claude-haiku-4.5"),
    # Not the seed's: the cheaper models at the end of each policy.
    "google/gemini-2.5-flash-lite": ("google/gemini-3.1-flash-lite", "openai/gpt-4.1-nano"),
    "openai/gpt-4.1": ("openai/gpt-6.1-terra", "openai/gpt-4.1-mini"),
    "openai/gpt-4.1-mini": ("anthropic/claude-haiku-5.5", "openai/gpt-5.6-luna"),
}


@dataclass(frozen=True, slots=True)
class _Default:
    """A default policy before its models are looked up."""

    name: str
    description: str
    models: tuple[str, ...]
    max_cost_usd: str
    max_tokens: int
    temperature: float
    complexity: Complexity
    fallbacks: Literal["no_dearer", "any"]


# max_tokens leaves room for a realistic prompt under max_cost_usd at the dearest model (worst case,
# a token a byte): normal 24 kB with Sonnet, deep_research 168 kB with Opus, code 168 kB with
# gpt-4o, ops 17 kB with gpt-3.5-turbo. Longer prompts get shorter answers or a cheaper model.
_DEFAULTS = (
    _Default(
        name="normal",
        description="General tasks, analysis, investigation: balanced cost and performance",
        models=(
            "openai/gpt-4o-mini",
            "anthropic/claude-3.5-sonnet",
            "google/gemini-2.5-flash-lite",
        ),
        max_cost_usd="0.10",
        max_tokens=4000,
        temperature=0.7,
        complexity=Complexity.MODERATE,
        fallbacks="any",
    ),
    _Default(
        name="deep_research",
        description="Complex analysis, strategic decisions: maximum intelligence",
        models=("openai/gpt-4o", "anthropic/claude-3-opus", "openai/gpt-4.1"),
        max_cost_usd="1.00",
        max_tokens=8000,
        temperature=0.7,
        complexity=Complexity.COMPLEX,
        fallbacks="any",
    ),
    _Default(
        name="code",
        description="Code analysis, debugging, fixes",
        models=("openai/gpt-4o", "anthropic/claude-3.5-sonnet", "openai/gpt-4.1-mini"),
        max_cost_usd="0.50",
        max_tokens=8000,
        temperature=0.2,
        complexity=Complexity.MODERATE,
        fallbacks="no_dearer",
    ),
    _Default(
        name="ops",
        description="Simple queries, status checks, formatting: ultra-cheap",
        models=(
            "openai/gpt-3.5-turbo",
            "anthropic/claude-3-haiku",
            "google/gemini-2.5-flash-lite",
        ),
        max_cost_usd="0.01",
        max_tokens=1000,
        temperature=0.3,
        complexity=Complexity.SIMPLE,
        fallbacks="no_dearer",
    ),
)


def default_policies(listed: Collection[str]) -> tuple[Policy, ...]:
    """Return normal, deep_research, code and ops with models out of `listed` model ids.

    A slot without any listed model is left out; a policy without any keeps the seed's ids, so
    that it exists and its refusals say which models are missing.
    """
    return tuple(_policy(default, listed) for default in _DEFAULTS)


def model_ids_in_use() -> tuple[str, ...]:
    """Return every model id that a default policy may name, sorted."""
    named = {model_id for default in _DEFAULTS for model_id in default.models}
    return tuple(sorted(named.union(*SUCCESSORS.values())))


def substitutions(listed: Collection[str]) -> tuple[str, ...]:
    """Return one line per model of a default policy that is not the one asked for."""
    wanted = dict.fromkeys(model_id for default in _DEFAULTS for model_id in default.models)
    return tuple(
        f"{model_id} is not listed: {'left out' if found is None else f'{found} in its place'}"
        for model_id in wanted
        if (found := listed_or_successor(model_id, listed)) != model_id
    )


def listed_or_successor(model_id: str, listed: Collection[str]) -> str | None:
    """Return the model itself when it is listed, else its first listed successor, else None."""
    for option in (model_id, *SUCCESSORS.get(model_id, ())):
        if option in listed:
            return option
    return None


def _policy(default: _Default, listed: Collection[str]) -> Policy:
    found = [listed_or_successor(model_id, listed) for model_id in default.models]
    ids = dict.fromkeys(model_id for model_id in found if model_id is not None)
    return Policy(
        name=default.name,
        description=default.description,
        models=tuple(
            PolicyModel(provider=None, model=model_id, priority=number)
            for number, model_id in enumerate(ids or default.models, start=1)
        ),
        max_cost_per_task=Decimal(default.max_cost_usd),
        max_tokens=default.max_tokens,
        temperature=default.temperature,
        task_types=types_served_by(default.name),
        complexity=default.complexity,
        fallbacks=default.fallbacks,
    )
