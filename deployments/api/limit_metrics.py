"""Rate limits for Prometheus, as their rows are: the figures of all processes together."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.rate_limit import RateLimit

NAMES = ("model", "source")
PARTS = (*NAMES, "part")


class LimitMetrics(Collector):
    """Gives out the limits that were read last."""

    def __init__(self) -> None:
        self.found: list[RateLimit] = []

    def collect(self) -> Iterator[Metric]:
        """Yield limits, queues, and what became of the calls under them."""
        limits = GaugeMetricFamily(
            "switchyard_rate_limit", "Calls a minute and at once.", labels=PARTS
        )
        calls = GaugeMetricFamily(
            "switchyard_rate_limit_calls", "Calls that wait or run under it.", labels=PARTS
        )
        turns = CounterMetricFamily(
            "switchyard_rate_limit_turns",
            "Calls that went at once, waited, or had no turn in time; and 429 that taught it.",
            labels=(*NAMES, "outcome"),
        )
        waited = CounterMetricFamily(
            "switchyard_rate_limit_waited_seconds", "Time that calls waited.", labels=NAMES
        )
        for one in self.found:
            who = (one.model, one.source)
            if one.requests is not None:
                limits.add_metric((*who, "per_minute"), one.requests * 60 / one.period_s)
            if one.concurrency is not None:
                limits.add_metric((*who, "at_once"), one.concurrency)
            calls.add_metric((*who, "waiting"), one.waiting)
            calls.add_metric((*who, "running"), one.running)
            turns.add_metric((*who, "at_once"), one.turns - one.waits)
            turns.add_metric((*who, "waited"), one.waits)
            turns.add_metric((*who, "no_turn"), one.refusals)
            turns.add_metric((*who, "taught"), one.lessons)
            waited.add_metric(who, one.waited_s)
        yield from (limits, calls, turns, waited)
