"""Rates of the train part of MixA, made by `benchmarks.routing.derive_priors`.

Do not edit. 2128 prompts whose `int(sha1(id)[:8], 16) % 100` is below 50.
"""

from __future__ import annotations

from decimal import Decimal

FAMILY_SOURCE = "success rate on the train part of MixA (benchmarks/routing/derive_priors.py)"

# Model id -> family of task types -> share of successes
FAMILY_RATES: dict[str, dict[str, float]] = {
    "anthropic/claude-3-haiku": {"code": 0.532},
    "anthropic/claude-3-opus": {"code": 0.706},
    "anthropic/claude-3.5-sonnet": {"code": 0.784},
    "google/gemini-flash-1.5": {"code": 0.610},
    "google/gemini-pro-1.5": {"code": 0.665},
    "meta-llama/llama-3-70b-instruct": {"code": 0.569},
    "meta-llama/llama-3-8b-instruct": {"code": 0.382},
    "openai/gpt-3.5-turbo": {"code": 0.532},
    "openai/gpt-4o-2024-05-13": {"code": 0.826},
    "openai/gpt-4o-mini": {"code": 0.735},
}
# USD per million completion tokens below which a tier ends -> mean of its models
TIER_RATES: tuple[tuple[Decimal | None, float], ...] = (
    (Decimal("0.50"), 0.639),
    (Decimal("2"), 0.703),
    (Decimal("10"), 0.767),
    (None, 0.821),
)
# By how much log odds of success fall once none, one, two cheaper models have failed
LOG_ODDS_AFTER_FAILURES = (0.0, 0.90, 1.32)
