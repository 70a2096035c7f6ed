"""What people ask afterwards: report, feedback, explain; each on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

ROUTE = ("route", "Is the payment service up?", "--trace", "ledger", "--worker", "w1")
METRICS = {
    "cost_efficiency",
    "performance",
    "response_time",
    "budget_compliance",
    "model_utilization",
}


def test_report_shows_five_metrics_and_feedback_corrects_the_success_rate(ready):
    decision_id = ready(*ROUTE, "--json").document["decision_id"]
    report = ready("report", "--json", "--period", "day", "--since", "2d").document
    assert {metric["name"] for metric in report["metrics"]} == METRICS
    by_name = {metric["name"]: metric for metric in report["metrics"]}
    assert (report["requests"], by_name["performance"]["value"]) == (1, 1.0)
    assert len(by_name["performance"]["periods"]) == 3

    stored = ready("feedback", decision_id, "--score", "0.1", "--json")
    assert stored.document == {"decision_id": decision_id, "attempt": None, "score": 0.1}
    corrected = ready("report", "--json").document["metrics"]
    (performance,) = [metric for metric in corrected if metric["name"] == "performance"]
    assert (performance["value"], performance["met"]) == (0.0, False)

    people = ready("report", "--period", "month")
    assert people.code == 0
    assert "success rate" in people.out and "missed:" in people.err


def test_explanation_is_told_in_words_and_as_parts(ready):
    decision_id = ready(*ROUTE, "--json").document["decision_id"]
    ready("feedback", decision_id, "--score", "1", "--attempt", "1")
    told = ready("explain", decision_id)
    assert told.code == 0
    for words in ("gave the answer", "policy ops: serves health_check", "asked first;", "was held",
                  "global daily: $5 of $5 left", "attempt 1 was scored 1"):  # fmt: skip
        assert words in told.out
    document = ready("explain", decision_id, "--json").document
    titles = [part["title"] for part in document["explanation"]]
    assert titles[:3] == ["result", "task", "policy"]
    assert document["feedback"][0]["score"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("feedback", "DECISION", "--score", "1.5"), "not between 0 and 1"),
        (("feedback", "DECISION", "--score", "good"), "not a number between 0 and 1"),
        (("feedback", "DECISION", "--score", "NaN"), "not between 0 and 1"),
        (("feedback", "DECISION", "--score", "1"), "there is no decision"),
        (("explain", "DECISION"), "there is no decision"),
        (("report", "--since", "soon"), "neither a span"),
        (("costs", "--until", "soon"), "until: 'soon'"),
        (("performance", "--since", "1d", "--until", "2d"), "is not before"),
    ],
)
def test_bad_question_is_refused_in_one_line(ready, arguments, problem):
    unknown = "00000000-0000-4000-8000-000000000000"
    done = ready(*[unknown if part == "DECISION" else part for part in arguments])
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert problem in done.err


def test_costs_end_where_until_says(ready):
    ready(*ROUTE)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert ready("costs", "--until", tomorrow, "--json").document["requests"] == 1
    assert ready("costs", "--until", "1d", "--json").document["requests"] == 0
    assert ready("performance", "--until", "1d", "--json").document["groups"] == []
