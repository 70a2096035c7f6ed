"""Time Switchyard's decision core: classify a request and choose one of ten models for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from models.classification import classify
from models.features import request_features
from models.policy import Policy, PolicyModel
from models.pricing import ModelCard, TokenPrice
from models.request import RoutingRequest
from models.selection import Plan, select
from models.snapshot import BudgetRoom, ModelStatistics, Snapshot

PROMPT = "Fix the login bug that logs people out after five minutes, and add a test for it."
NOW = datetime(2026, 11, 23, tzinfo=UTC)
MTOK = Decimal(10**6)
PRICES = (  # USD per million tokens, prompt and completion; from gpt-4o down to gpt-4.1-nano
    ("2.5", "10"),
    ("2", "10"),
    ("2", "8"),
    ("1.25", "10"),
    ("1", "5"),
    ("0.75", "3.75"),
    ("0.4", "1.6"),
    ("0.25", "1.25"),
    ("0.15", "0.6"),
    ("0.1", "0.4"),
)

CARDS = tuple(
    ModelCard(
        model_id=f"maker-{number}/model-{number}",
        provider=f"maker-{number}",
        price=TokenPrice(Decimal(prompt) / MTOK, Decimal(completion) / MTOK),
        context_tokens=128_000,
        completion_tokens_max=16_384,
        abilities=frozenset({"tools", "image", "response_format"}),
        source="benchmark",
        priced_at=NOW - timedelta(hours=1),
    )
    for number, (prompt, completion) in enumerate(PRICES)
)
POLICY = Policy(
    name="normal",
    models=tuple(
        PolicyModel(provider=None, model=card.model_id, priority=number)
        for number, card in enumerate(CARDS, start=1)
    ),
    max_cost_per_task=Decimal("0.10"),
)
BUDGETS = tuple(
    BudgetRoom(
        name=f"{kind} daily",
        budget_type=kind,
        scope_key=key,
        amount_usd=Decimal(5),
        spent_usd=Decimal("1.234567"),
        reserved_usd=Decimal("0.02"),
        period_end=NOW + timedelta(hours=9),
    )
    for kind, key in (("global", "*"), ("policy", "normal"), ("worker", "w1"))
)
STATISTICS = tuple(
    ModelStatistics(card.model_id, attempts=50, success_rate=0.97, latency_p95_ms=2_000)
    for card in CARDS
)
REQUEST = RoutingRequest(prompt=PROMPT, worker_id="w1")


def snapshot_of(request: RoutingRequest) -> Snapshot:
    """Return the snapshot of a request; what the database gives is at hand already."""
    return Snapshot(
        features=request_features(request),
        classification=classify(request),
        policy=POLICY,
        policy_reason="policy normal: serves fix_bug",
        cards=CARDS,
        statistics=STATISTICS,
        budgets=BUDGETS,
        draw=0.5,
        now=NOW,
    )


def decide() -> Plan:
    """Classify and select: the whole pure part of a decision."""
    return select(snapshot_of(REQUEST))


READY = snapshot_of(REQUEST)
STEPS: dict[str, Callable[[], object]] = {
    "classify + select": decide,
    "select": lambda: select(READY),
    "classify": lambda: classify(REQUEST),
}


def times_ns(step: Callable[[], object], rounds: int) -> list[int]:
    """Return the nanoseconds of each call."""
    found = []
    for _ in range(rounds):
        started = time.perf_counter_ns()
        step()
        found.append(time.perf_counter_ns() - started)
    return found
