"""Read, once and live, everything that a selection depends on."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from models.budget import BudgetMode, BudgetState
from models.circuit import circuit_open_until
from models.decision import Arrival
from models.features import request_features
from models.learning.chain_orders import starting_chain
from models.learning.priors import prior_for
from models.pricing import ModelCard
from models.prompt_caching import priced_for_long_cache
from models.snapshot import BudgetRoom, ModelStatistics, Snapshot
from tasks.adapters.database import Database
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.catalogue import read_cards
from tasks.adapters.store.statistics import recent_statistics

NOT_LEARNED = Decimal(1)
ReadCards = Callable[[Database, Sequence[str]], Awaitable[list[ModelCard]]]
ReadStatistics = Callable[[Database, Sequence[str]], Awaitable[dict[str, dict[str, Any]]]]


async def read_snapshot(
    opened: Runtime,
    arrival: Arrival,
    *,
    cards: ReadCards = read_cards,
    recent: ReadStatistics = recent_statistics,
) -> Snapshot:
    """Return the snapshot of an arrival: prices, recent health, and every budget that covers it.

    What is left of the budgets is always read live.
    """
    request, policy = arrival.request, arrival.policy
    wanted = [request.model] if request.model else [m.model_id for m in policy.ordered_models()]
    rooms = await opened.ledger.head_room(
        policy=policy.name,
        worker_id=request.worker_id,
        model_ids=wanted,
        task_id=request.task_id,
        decision_id=arrival.decision_id,
    )
    statistics = await recent(opened.database, wanted)
    ratios = await _elastic_ratios(opened, wanted, rooms)
    features, found = request_features(request), await cards(opened.database, wanted)
    if features.long_cache:
        found = [priced_for_long_cache(card) for card in found]
    by_id = {card.model_id: card for card in found}
    known = [_statistics(name, statistics[name], ratios) for name in wanted]
    if policy.exploration > 0.0:
        known = [_with_prior(one, by_id, arrival.classification.task_type) for one in known]
    return Snapshot(
        features=features,
        classification=arrival.classification,
        policy=policy,
        policy_reason=arrival.policy_reason,
        cards=tuple(found),
        statistics=tuple(known),
        budgets=tuple(budget_room(state) for state in rooms),
        draw=random.random(),  # exploration, not a secret
        now=datetime.now(UTC),
        starting_chain=starting_chain(policy, by_id, arrival.classification, features),
    )


async def _elastic_ratios(
    opened: Runtime, model_ids: Sequence[str], rooms: Sequence[BudgetState]
) -> dict[str, Decimal]:
    """Return what each model's bills were of their worst cases; only elastic budgets ask."""
    if all(state.mode is BudgetMode.HARD for state in rooms):
        return {}
    learned = {model_id: await opened.ledger.elastic_ratio(model_id) for model_id in model_ids}
    return {model_id: ratio for model_id, ratio in learned.items() if ratio is not None}


def _statistics(model_id: str, row: dict[str, Any], ratios: dict[str, Decimal]) -> ModelStatistics:
    attempts = row["attempts"]
    return ModelStatistics(
        model_id=model_id,
        attempts=attempts,
        success_rate=row["successes"] / attempts if attempts else None,
        latency_p95_ms=row["latency_p95_ms"],
        circuit_open_until=circuit_open_until(
            consecutive_failures=row["consecutive_failures"],
            fresh_attempts=row["fresh_attempts"],
            fresh_failures=row["fresh_failures"],
            last_failed_at=row["last_failed_at"],
        ),
        elastic_ratio=ratios.get(model_id, NOT_LEARNED),
    )


def _with_prior(
    one: ModelStatistics, cards: Mapping[str, ModelCard], task_type: str
) -> ModelStatistics:
    """Return it with the prior of this version: a later one's must not change what is replayed."""
    card = cards.get(one.model_id)
    prior = prior_for(one.model_id, None if card is None else card.price, task_type)
    return replace(one, prior_success=prior.success)


def budget_room(state: BudgetState) -> BudgetRoom:
    """Return a budget as the selection sees it."""
    return BudgetRoom(
        name=state.name,
        budget_type=state.budget_type.value,
        scope_key=state.scope_key,
        amount_usd=state.budget_amount,
        spent_usd=state.spent_amount,
        reserved_usd=state.reserved_amount,
        mode=state.mode.value,
        alert_ratio=state.alert_threshold,
        period_end=state.period_end,
    )
