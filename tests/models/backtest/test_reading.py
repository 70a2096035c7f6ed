"""From the record's rows to what they say, or why they say nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from models.backtest.past import Past
from models.backtest.reading import past_of
from models.learning.kinds import Kind


def row(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "id": UUID(int=7),
        "status": "completed",
        "planned": 2,
        "asks_two": False,
        "task_type": "fix_bug",
        "complexity": "simple",
        "policy_name": "code",
        "policy_version": 3,
        "propensity": 0.9,
    }
    return parts | changes


def attempt(model_id: str = "a/x", outcome: str = "ok", **changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "selected_model": model_id,
        "outcome": outcome,
        "success": outcome == "ok",
        "actual_cost": Decimal("0.01"),
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "score": None,
    }
    return parts | changes


def told(*attempts: dict[str, Any], **changes: Any) -> Past:
    found = past_of(row(**changes), attempts)
    assert isinstance(found, Past), found
    return found


@pytest.mark.parametrize(
    ("changes", "attempts", "reason"),
    [
        ({"status": "selected"}, [], "selected only, nothing was asked"),
        ({"status": "parked"}, [], "not ended"),
        ({"status": "running"}, [attempt()], "not ended"),
        ({"planned": None}, [attempt()], "no stored snapshot"),
        ({}, [attempt(actual_cost=None)], "a bill is not known yet"),
        ({}, [], "answered without a call"),
        ({"status": "failed"}, [], "planned, but no attempt was made"),
        ({"asks_two": True}, [attempt(), attempt("b/y")], "two models were asked at once"),
        ({}, [attempt(), attempt("b/y", "cancelled")], "two models were asked at once"),
    ],
)
def test_what_says_nothing_is_named(changes, attempts, reason):
    assert past_of(row(**changes), attempts) == reason


def test_decision_tells_its_kind_rule_and_propensity():
    past = told(attempt())
    assert (past.kind, past.propensity, past.planned) == (Kind("fix_bug", "simple"), 0.9, 2)
    assert past.group == ("code", 3, past.kind)
    assert (past.success, past.cost_usd) == (1.0, Decimal("0.01"))


def test_asking_the_same_model_again_is_one_step_that_costs_both():
    past = told(attempt(outcome="failed"), attempt(), attempt("b/y"))
    assert [step.model_id for step in past.steps] == ["a/x", "b/y"]
    assert past.steps[0].cost_usd == Decimal("0.02")


def test_score_overrules_what_the_answer_looked_like():
    assert told(attempt(score=Decimal("0.4"))).success == 0.0
    assert told(attempt(score=Decimal("0.5"))).success == 1.0
    assert told(attempt(success=False)).success == 0.0


def test_refusal_is_a_decision_that_asked_nobody():
    past = told(status="rejected", planned=0)
    assert (past.steps, past.success, past.cost_usd) == ((), 0.0, 0)


def test_rejected_answer_is_paid_but_not_given_out():
    past = told(attempt(outcome="rejected_answer"), attempt("b/y"))
    assert [step.accepted for step in past.steps] == [False, True]
    assert past.steps[0].completion_tokens is None
    assert past.success == 1.0
