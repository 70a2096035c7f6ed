"""The explanation of a decision, as a person reads it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from models.explained import explanation_parts, explanation_text
from models.policy import LearnedOrder
from models.selection import select
from tests.models.builders import CHEAP, DEAR, MIDDLE, budget_of, policy_of, snapshot_of

OK = {
    "model": "c/dear",
    "outcome": "ok",
    "error": None,
    "estimated_cost_usd": "0.025",
    "cost_usd": "0.010",
    "latency_ms": 1200,
}


def explained(snapshot: Any = None, **changes: Any) -> dict[str, Any]:
    """The document of a decision that was selected from this snapshot."""
    snapshot = snapshot or snapshot_of(DEAR, MIDDLE, CHEAP)
    plan = select(snapshot)
    document = {
        "decision_id": "cc77",
        "status": "completed",
        "worker_id": "w1",
        "simulated": False,
        "created_at": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "reasons": list(plan.reasons),
        "considered": [one._asdict() for one in plan.considered],
        "attempts": [OK],
        "feedback": [],
        "snapshot": snapshot.document(),
        "plan": plan.document(),
    }
    return document | changes


def lines_of(title: str, document: dict[str, Any]) -> list[str]:
    return [line for part in explanation_parts(document) if part.title == title for line in part[1]]


def test_result_says_who_answered_and_what_all_attempts_cost():
    failed = OK | {"model": "b/middle", "outcome": "failed", "cost_usd": "0.002"}
    lines = lines_of("result", explained(attempts=[failed, OK]))
    assert lines == ["completed", "c/dear gave the answer", "it cost $0.012 in 2 attempts"]


def test_bill_that_is_not_known_yet_is_said_to_be_so():
    unknown = OK | {"outcome": "unknown", "cost_usd": None}
    lines = lines_of("result", explained(attempts=[unknown, OK]))
    assert lines[-1] == "it cost $0.01 in 2 attempts, and 1 of 2 bills are not known yet"


def test_every_model_is_in_with_its_place_or_out_with_its_reason():
    missing = replace(snapshot_of(DEAR, CHEAP), policy=policy_of("c/dear", "x/gone", "a/cheap"))
    lines = lines_of("models", explained(missing))
    assert lines[0].startswith("in:  c/dear: asked first; up to 1000 tokens, worst case $")
    assert lines[1].startswith("in:  a/cheap: asked second, if need be; ")
    assert lines[2] == "out: x/gone: not in the price list"


def test_learned_order_and_its_reason_are_told_once():
    order = LearnedOrder(task_type="fix_bug", models=("a/cheap", "c/dear"), reason="cheap is right")
    learned = snapshot_of(DEAR, CHEAP, policy=policy_of("c/dear", "a/cheap", orders=[order]))
    text = explanation_text(explained(learned))
    assert text.count("learned for fix_bug: a/cheap first: cheap is right") == 1
    assert "the policy lists c/dear > a/cheap" in text


def test_named_model_passes_the_policys_list_over():
    snapshot = snapshot_of(DEAR)
    named = replace(snapshot, features=replace(snapshot.features, model="c/dear"))
    assert lines_of("order", explained(named)) == [
        "the request names c/dear, so the policy's list is passed over"
    ]


def test_budgets_tell_what_was_left_when_it_was_decided():
    lines = lines_of("budgets when it was decided", explained(snapshot_of(budgets=(budget_of(),))))
    assert lines == ["global daily: $5 of $5 left ($0 spent); turns 2026-11-24 00:00 UTC"]


def test_cut_answer_and_whatever_else_happened_are_told():
    short = snapshot_of(DEAR, budgets=(budget_of("0.01"),))
    assert any("answer cut to" in line for line in lines_of("also", explained(short)))


def test_error_text_from_outside_cannot_move_the_cursor():
    hostile = OK | {"outcome": "failed", "error": "\x1b[2Jboom\r\n"}
    text = explanation_text(explained(attempts=[hostile]))
    assert "\x1b" not in text and "\r" not in text and "boom" in text


def test_decision_without_a_snapshot_is_still_explained():
    bare = explained(snapshot=None, plan=None, attempts=[], status="failed", considered=[])
    assert "failed: no model answered" in explanation_text(bare)
