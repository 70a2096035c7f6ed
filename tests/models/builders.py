"""Snapshots for the tests of the rules, from few words; every part can be replaced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from models.classification import Classification
from models.features import RequestFeatures
from models.policy import Complexity, Policy, parse_policy
from models.pricing import ModelCard, TokenPrice
from models.snapshot import BudgetRoom, ModelStatistics, Snapshot

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TOMORROW = datetime(2026, 11, 24, tzinfo=UTC)
PER_TOKEN = Decimal("0.000001")


def card_of(model_id: str, prompt: str = "1", completion: str = "2", **changes: Any) -> ModelCard:
    """Prices in USD per million tokens."""
    parts: dict[str, Any] = {
        "model_id": model_id,
        "provider": model_id.partition("/")[0],
        "price": TokenPrice(Decimal(prompt) * PER_TOKEN, Decimal(completion) * PER_TOKEN),
        "context_tokens": 100_000,
        "completion_tokens_max": 16_000,
        "abilities": frozenset({"tools", "image", "response_format"}),
        "source": "test",
        "priced_at": NOW - timedelta(hours=1),
    }
    return ModelCard(**parts | changes)


CHEAP, MIDDLE, DEAR = (
    card_of("a/cheap", "0.1", "0.4"),
    card_of("b/middle", "1", "4"),
    card_of("c/dear", "5", "20"),
)


def policy_of(*model_ids: str, **changes: Any) -> Policy:
    document: dict[str, Any] = {
        "name": "normal",
        "models": [
            {"model": model_id, "priority": number}
            for number, model_id in enumerate(model_ids, start=1)
        ],
        "max_cost_per_task": "1",
        "max_tokens": 1000,
    }
    return parse_policy(document | changes)


def budget_of(amount: str = "5", **changes: Any) -> BudgetRoom:
    parts: dict[str, Any] = {
        "name": "global daily",
        "budget_type": "global",
        "scope_key": "*",
        "amount_usd": Decimal(amount),
        "spent_usd": Decimal(0),
        "reserved_usd": Decimal(0),
        "period_end": TOMORROW,
    }
    return BudgetRoom(**parts | changes)


def class_of(complexity: Complexity = Complexity.MODERATE) -> Classification:
    return Classification("fix_bug", "given", complexity, 2.0)


def statistics_of(model_id: str, **changes: Any) -> ModelStatistics:
    return ModelStatistics(model_id, **changes)


def features_of(**changes: Any) -> RequestFeatures:
    parts: dict[str, Any] = {"text_tokens_bound": 1000, "text_tokens_estimate": 286}
    return RequestFeatures(**parts | changes)


def snapshot_of(*cards: ModelCard, **changes: Any) -> Snapshot:
    """The policy lists the cards in the order given; keyword parts replace the defaults."""
    cards = cards or (DEAR, MIDDLE, CHEAP)
    parts: dict[str, Any] = {
        "features": features_of(),
        "classification": class_of(),
        "policy": policy_of(*(card.model_id for card in cards)),
        "policy_reason": "policy normal: serves fix_bug",
        "cards": cards,
        "statistics": (),
        "budgets": (budget_of(),),
        "draw": 0.25,
        "now": NOW,
    }
    return Snapshot(**parts | changes)
