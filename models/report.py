"""The five success metrics of the specification, period by period, against their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from math import log

from pydantic import BaseModel, ConfigDict, Field

from models.usd import Usd

COST_PER_TASK_USD_MAX = Decimal("0.05")
SUCCESS_RATE_MIN = 0.95
RESPONSE_S_MAX = 5.0
BALANCE_MIN = 0.5  # evenness of use; the specification says "balanced" without a number
STEADY = 0.05  # a change below this share is none

_TITLES = {
    "cost_efficiency": "cost of a task",
    "performance": "success rate",
    "response_time": "response time",
    "budget_compliance": "budgets kept",
    "model_utilization": "balance of policies",
}
_UNITS = {
    "usd_per_task": "${:.6f}",
    "success_share": "{:.1%}",
    "seconds_avg": "{:.2f} s",
    "share_of_budgets_kept": "{:.1%}",
    "evenness_of_policies": "{:.2f}",
}


class Trend(StrEnum):
    """Where a metric goes, from the period before to the last one."""

    BETTER = "better"
    WORSE = "worse"
    STEADY = "steady"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PeriodFacts:
    """What happened in one period: the sums that the metrics are made of."""

    start: datetime
    end: datetime
    requests: int
    cost_usd: Decimal
    attempts: int
    successes: int
    latency_ms_avg: float | None
    budgets: int
    budgets_kept: int
    requests_by_policy: tuple[int, ...]


class PeriodValue(BaseModel):
    """One metric in one period; null where nothing happened."""

    model_config = ConfigDict(frozen=True)

    period_start: datetime
    period_end: datetime
    value: float | None


class Metric(BaseModel):
    """One success metric with its target, newest period last."""

    model_config = ConfigDict(frozen=True)

    name: str
    unit: str
    target: float
    target_is: str = Field(description='"below" or "at_least"')
    value: float | None = Field(description="Of the newest period that has one")
    met: bool | None
    trend: Trend
    periods: list[PeriodValue]

    @property
    def title(self) -> str:
        """The metric as people call it."""
        return _TITLES[self.name]

    def said(self, value: float | None) -> str:
        """Return a value of this metric for people: `$0.012300`, `97.2 %`, `1.40 s`, `0.83`."""
        return "-" if value is None else _UNITS[self.unit].format(value)


class Report(BaseModel):
    """The five metrics of a span."""

    model_config = ConfigDict(frozen=True)

    since: datetime
    until: datetime
    period: str
    requests: int
    cost_usd: Usd
    metrics: list[Metric]


def report_of(facts: Sequence[PeriodFacts], period: str) -> Report:
    """Return the report of consecutive periods, oldest first; at least one."""
    return Report(
        since=facts[0].start,
        until=facts[-1].end,
        period=period,
        requests=sum(fact.requests for fact in facts),
        cost_usd=sum((fact.cost_usd for fact in facts), Decimal(0)),
        metrics=[
            _metric("cost_efficiency", "usd_per_task", float(COST_PER_TASK_USD_MAX), "below",
                    facts, [cost_per_task_usd(fact) for fact in facts]),
            _metric("performance", "success_share", SUCCESS_RATE_MIN, "at_least",
                    facts, [_share(fact.successes, fact.attempts) for fact in facts]),
            _metric("response_time", "seconds_avg", RESPONSE_S_MAX, "below",
                    facts, [_seconds(fact.latency_ms_avg) for fact in facts]),
            _metric("budget_compliance", "share_of_budgets_kept", 1.0, "at_least",
                    facts, [_share(fact.budgets_kept, fact.budgets) for fact in facts]),
            _metric("model_utilization", "evenness_of_policies", BALANCE_MIN, "at_least",
                    facts, [evenness(fact.requests_by_policy) for fact in facts]),
        ],
    )  # fmt: skip


def cost_per_task_usd(fact: PeriodFacts) -> float | None:
    """Return the average cost of a request, in USD; for people, so a float."""
    return float(fact.cost_usd / fact.requests) if fact.requests else None


def evenness(counts: Sequence[int]) -> float | None:
    """Return how evenly a use is spread, 0 to 1: Shannon's entropy over its maximum.

    Half and half is 1, nine to one 0.47; a single policy in use is 0.
    """
    used = [count for count in counts if count > 0]
    total = sum(used)
    if not total:
        return None
    if len(used) == 1:
        return 0.0
    return -sum(count / total * log(count / total) for count in used) / log(len(used))


def _metric(
    name: str,
    unit: str,
    target: float,
    target_is: str,
    facts: Sequence[PeriodFacts],
    values: Sequence[float | None],
) -> Metric:
    known = [value for value in values if value is not None]
    newest = known[-1] if known else None
    return Metric(
        name=name,
        unit=unit,
        target=target,
        target_is=target_is,
        value=newest,
        met=None if newest is None else _is_met(newest, target, target_is),
        trend=trend_of(known, lower_is_better=target_is == "below"),
        periods=[
            PeriodValue(period_start=fact.start, period_end=fact.end, value=value)
            for fact, value in zip(facts, values, strict=True)
        ],
    )


def _is_met(value: float, target: float, target_is: str) -> bool:
    return value < target if target_is == "below" else value >= target


def trend_of(known: Sequence[float], *, lower_is_better: bool) -> Trend:
    """Return how the last value compares with the one before; 5 % is no change."""
    if len(known) < 2:
        return Trend.UNKNOWN
    before, after = known[-2:]
    if abs(after - before) <= STEADY * max(abs(before), abs(after)):
        return Trend.STEADY
    return Trend.BETTER if (after < before) == lower_is_better else Trend.WORSE


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
