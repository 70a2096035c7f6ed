"""What Prometheus may ask: requests, decisions, money, and what is open right now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from deployments.api.limit_metrics import LimitMetrics
from models.budget import BudgetState
from models.rate_limit import RateLimit
from models.result import RoutingResult

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class NowMetrics(Collector):
    """Gives out what is open now, as it was read last."""

    def __init__(self) -> None:
        self.budgets: list[BudgetState] = []
        self.running = 0

    def collect(self) -> Iterator[Metric]:
        """Yield the budgets and the number of requests under way."""
        budgets = GaugeMetricFamily(
            "switchyard_budget_usd", "Budgets of now.", labels=("budget", "part")
        )
        for state in self.budgets:
            budgets.add_metric((state.name, "limit"), float(state.budget_amount))
            budgets.add_metric((state.name, "spent"), float(state.spent_amount))
            budgets.add_metric((state.name, "reserved"), float(state.reserved_amount))
        yield budgets
        yield GaugeMetricFamily(
            "switchyard_http_requests_running", "Requests under way.", value=self.running
        )


class SharedMetrics(Collector):
    """Gives out the sums over all processes that count in one folder, dead ones included."""

    def __init__(self, folder: str) -> None:
        self._files = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterator[Metric]:
        """Yield ours: what a library counts on its own account stands there as well."""
        for metric in self._files.collect():  # type: ignore[no-untyped-call]
            if metric.name.startswith("switchyard_"):
                yield metric


class Metrics:
    """Counters in a registry of their own.

    With a `folder`, which PROMETHEUS_MULTIPROC_DIR named when this process began, those of all
    processes that share it.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.registry = CollectorRegistry()
        self._shown = self.registry
        if folder is not None:
            self._shown = CollectorRegistry()
            self._shown.register(SharedMetrics(folder))
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
        self._now = NowMetrics()
        self._limits = LimitMetrics()
        for collector in (self._now, self._limits):
            self._shown.register(collector)

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
        self._now.budgets, self._now.running = list(budgets), running
        return generate_latest(self._shown)
