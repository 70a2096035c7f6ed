"""The success metrics: what meets a target, what a trend is, how evenly policies are used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models.report import PeriodFacts, Trend, evenness, report_of, trend_of

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


def week(number: int, **changes: Any) -> PeriodFacts:
    start = MONDAY + timedelta(weeks=number)
    parts: dict[str, Any] = {
        "start": start,
        "end": start + timedelta(weeks=1),
        "requests": 10,
        "cost_usd": Decimal("0.20"),
        "attempts": 20,
        "successes": 19,
        "latency_ms_avg": 4000.0,
        "budgets": 4,
        "budgets_kept": 4,
        "requests_by_policy": (5, 5),
    }
    return PeriodFacts(**parts | changes)


@pytest.mark.parametrize(
    ("name", "changes", "value", "met"),
    [
        ("cost_efficiency", {}, 0.02, True),  # 0.20 / 10
        ("cost_efficiency", {"cost_usd": Decimal("0.50")}, 0.05, False),  # below, not equal
        ("performance", {}, 0.95, True),  # 19 of 20
        ("performance", {"successes": 18}, 0.90, False),
        ("response_time", {}, 4.0, True),
        ("response_time", {"latency_ms_avg": 5000.0}, 5.0, False),
        ("budget_compliance", {}, 1.0, True),
        ("budget_compliance", {"budgets_kept": 3}, 0.75, False),
        ("model_utilization", {}, 1.0, True),
        ("model_utilization", {"requests_by_policy": (10,)}, 0.0, False),
        ("performance", {"attempts": 0, "successes": 0}, None, None),
    ],
)
def test_metric_meets_its_target_or_says_that_nothing_is_known(name, changes, value, met):
    report = report_of([week(0, **changes)], "week")
    (metric,) = [one for one in report.metrics if one.name == name]
    assert metric.value == (None if value is None else pytest.approx(value))
    assert metric.met is met


def test_half_and_half_is_even_and_nine_to_one_is_not():
    assert evenness((5, 5)) == pytest.approx(1.0)
    assert evenness((9, 1)) == pytest.approx(0.469, abs=0.001)
    assert evenness(()) is None


@pytest.mark.parametrize(
    ("values", "trend"),
    [
        ([0.04], Trend.UNKNOWN),
        ([0.04, 0.05], Trend.WORSE),
        ([0.05, 0.04], Trend.BETTER),
        ([0.0500, 0.0501], Trend.STEADY),  # 0.2 % is no change
        ([0.01, 0.05, 0.04], Trend.BETTER),  # only the last two count
    ],
)
def test_trend_of_a_cost_compares_the_last_two_periods(values, trend):
    assert trend_of(values, lower_is_better=True) is trend


def test_empty_period_is_listed_and_passed_over_by_the_trend():
    empty = week(1, requests=0, cost_usd=Decimal(0))
    report = report_of([week(0), empty, week(2, cost_usd=Decimal("0.10"))], "week")
    cost = report.metrics[0]
    assert [one.value for one in cost.periods] == [pytest.approx(0.02), None, pytest.approx(0.01)]
    assert (cost.value, cost.trend) == (pytest.approx(0.01), Trend.BETTER)


def test_values_are_said_with_their_unit():
    said = [metric.said(metric.value) for metric in report_of([week(0)], "week").metrics]
    assert said == ["$0.020000", "95.0%", "4.00 s", "100.0%", "1.00"]
