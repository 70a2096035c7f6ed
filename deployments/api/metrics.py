"""What Prometheus may ask: requests, decisions, money, and what is open right now."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from deployments.api.limit_metrics import LimitMetrics
from models.budget import BudgetState
from models.rate_limit import RateLimit
from models.result import RoutingResult

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counters of this process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "switchyard_http_request_seconds",
            "HTTP requests by route and status.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )
        # a look-up by label names costs more than the count itself
        self._requests_of = cache(self._requests.labels)
        self._decisions = Counter(
            "switchyard_decisions",
            "Decisions that ended here.",
            ("status", "policy", "trace"),
            registry=self.registry,
        )
        self._decisions_of = cache(self._decisions.labels)
        self._cost = Counter(
            "switchyard_cost_usd", "What they cost.", ("policy", "model"), registry=self.registry
        )
        self._cost_of = cache(self._cost.labels)
        self._attempts = Counter(
            "switchyard_attempts", "Their attempts.", ("model", "outcome"), registry=self.registry
        )
        self._attempts_of = cache(self._attempts.labels)
        self._hedges = Counter(
            "switchyard_hedges",
            "Decisions whose slow first model a second one joined, by who won.",
            ("policy", "winner"),
            registry=self.registry,
        )
        names = ("budget", "part")
        self._budgets = Gauge(
            "switchyard_budget_usd", "Budgets of now.", names, registry=self.registry
        )
        self._running = Gauge(
            "switchyard_http_requests_running", "Requests under way.", registry=self.registry
        )

        self._limits = LimitMetrics()
        self.registry.register(self._limits)

    def note_request(self, scope: Any, status: int, seconds: float) -> None:  # an ASGI scope
        """Count one answered request; unknown paths are one route, so that labels stay few."""
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if route != "unknown" else "any"
        self._requests_of(method, route, status).observe(seconds)

    def note_result(self, result: RoutingResult, trace: str) -> None:
        """Count one decision that ended."""
        self._decisions_of(result.status.value, result.policy, trace).inc()
        if result.hedged is not None:
            self._hedges.labels(result.policy, result.hedged).inc()
        for attempt in result.attempts:
            self._attempts_of(attempt.model, attempt.outcome.value).inc()
            if attempt.cost_usd is not None:
                self._cost_of(result.policy, attempt.model).inc(float(attempt.cost_usd))

    def text(
        self, budgets: Iterable[BudgetState], running: int, limits: Iterable[RateLimit]
    ) -> bytes:
        """Return everything in Prometheus' text format."""
        self._limits.found = list(limits)
        self._running.set(running)
        self._budgets.clear()
        for state in budgets:
            for part in ("budget_amount", "spent_amount", "reserved_amount"):
                name = part.removesuffix("_amount").replace("budget", "limit")
                self._budgets.labels(state.name, name).set(float(getattr(state, part)))
        return generate_latest(self.registry)
