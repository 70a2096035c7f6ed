"""The failure table of docs/design.md, row by row, against an upstream that fails on demand.

Every case says what the first attempt's row becomes, who is asked next and how it ends. The true
spend comes from the simulator's charge log.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from deployments.simulator import Fault

pytestmark = pytest.mark.anyio

FIRST, SECOND = "openai/gpt-4o", "anthropic/claude-sonnet-5.5"
BILL = Decimal("0.0009075")  # 27 prompt tokens at $2.50/M and 84 completion tokens at $10/M


@dataclass(frozen=True)
class Case:
    """What one fault of the first model leads to."""

    fault: str
    state: str
    kind: str | None
    ends: str
    models: tuple[str, ...] = (FIRST,)
    rule: dict[str, Any] | None = None
    first_bill: str = "0"

    def __str__(self) -> str:
        extra = "" if self.rule is None else "-" + "-".join(map(str, self.rule.values()))
        return self.fault + extra


NEXT = (FIRST, SECOND)
REFUSED_NEXT = [
    Case("rate_limited", "RELEASED", "busy", "completed", NEXT),
    Case("unavailable", "RELEASED", "busy", "completed", NEXT),
    Case("overloaded", "RELEASED", "busy", "completed", NEXT),
    Case("can_only_afford", "RELEASED", "too_expensive", "completed", NEXT),
    Case("weight_exceeds_budget", "RELEASED", "too_expensive", "completed", NEXT),
    Case("prompt_limit", "RELEASED", "too_expensive", "completed", NEXT),
    Case("model_not_found", "RELEASED", "model_unsuitable", "completed", NEXT),
    Case("no_endpoints", "RELEASED", "model_unsuitable", "completed", NEXT),
    Case("context_length", "RELEASED", "model_unsuitable", "completed", NEXT),
]
REFUSED_STOP = [
    Case("rate_limited_daily", "RELEASED", "account_limit", "rejected"),
    Case("rate_limited_key", "RELEASED", "account_limit", "rejected"),
    Case("in_flight", "RELEASED", "in_flight_limit", "rejected"),
    Case("out_of_credits", "RELEASED", "account_money", "rejected"),
    Case("key_limit", "RELEASED", "account_money", "rejected"),
    Case("guardrail_budget", "RELEASED", "account_money", "rejected"),
    Case("workspace_budget", "RELEASED", "account_money", "rejected"),
    Case("bad_request", "RELEASED", "bad_request", "failed"),
    Case("unprocessable", "RELEASED", "bad_request", "failed"),
    Case("too_large", "RELEASED", "bad_request", "failed"),
    Case("redirect", "RELEASED", "bad_request", "failed"),
    Case("unauthorized", "RELEASED", "access_denied", "failed"),
    Case("permission_denied", "RELEASED", "access_denied", "failed"),
    Case("moderation", "RELEASED", "access_denied", "failed"),
]
PERHAPS_BILLED = [
    Case("timeout", "UNKNOWN", "unknown", "completed", NEXT),
    Case("server_error", "UNKNOWN", "unknown", "completed", NEXT),
    Case("server_error", "UNKNOWN", "unknown", "completed", NEXT, {"charged": True}),
    Case("bad_gateway", "UNKNOWN", "unknown", "completed", NEXT),
    Case("html_bad_gateway", "UNKNOWN", "unknown", "completed", NEXT),
    Case("gateway_timeout", "UNKNOWN", "unknown", "completed", NEXT),
    Case("edge_timeout", "UNKNOWN", "unknown", "completed", NEXT),
    Case("cut", "UNKNOWN", "unknown", "completed", NEXT),
    Case("malformed_json", "UNKNOWN", "unknown", "completed", NEXT),
    Case("wrong_types", "UNKNOWN", "unknown", "completed", NEXT),
    Case("huge_body", "UNKNOWN", "unknown", "completed", NEXT),
    Case("negative_cost", "UNKNOWN", "unknown", "completed", NEXT),
    Case("error_in_200", "UNKNOWN", "bad_answer", "completed", NEXT),
    Case("no_usage", "UNKNOWN", "no_usage", "completed"),  # an answer is an answer: it is used
]
BILL_KNOWN = [
    Case("error_in_choice", "SETTLED", "bad_answer", "completed", NEXT),
    Case("mid_stream_error", "SETTLED", "bad_answer", "completed", NEXT),
    Case("empty_answer", "SETTLED", "bad_answer", "completed", NEXT),
    Case("cost_string", "SETTLED", None, "completed", first_bill="0.0009075"),
    Case("other_model", "SETTLED", None, "completed", first_bill="0.0009075"),
    # BYOK: 5 % of the list price here, the list price at the provider
    Case("byok", "SETTLED", None, "completed", first_bill="0.000952875"),
    Case("cost_multiplied", "SETTLED", None, "completed", first_bill="0.0027225"),
    Case(
        "cost_multiplied",
        "SETTLED",
        None,
        "completed",
        rule={"multiplier": 1000},
        first_bill="0.9075",
    ),
]
CASES = REFUSED_NEXT + REFUSED_STOP + PERHAPS_BILLED + BILL_KNOWN


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_attempt_is_booked_as_the_failure_table_says(bench, case):
    bench.fail(case.fault, {"model": FIRST}, **case.rule or {})
    result = await bench.route()
    rows = await bench.rows(result.decision_id)
    first = rows[0]
    assert [row["selected_model"] for row in rows] == list(case.models)
    assert (first["state"], first["error_kind"]) == (case.state, case.kind)
    assert result.status == case.ends
    assert bench.asked == len(case.models), "each row was sent once, and nothing without a row"
    await _check_money(bench, case, result, rows)


async def _check_money(bench, case, result, rows):
    """Known bills equal the charge log; an unknown one keeps its whole hold."""
    first, later = rows[0], rows[1:]
    known = None if case.state == "UNKNOWN" else Decimal(case.first_bill)
    assert first["actual_cost"] == known
    assert result.attempts[0].cost_usd == known
    assert all(row["state"] == "SETTLED" and row["success"] for row in later)
    billed = sum((row["actual_cost"] for row in rows if row["actual_cost"] is not None), Decimal(0))
    assert result.cost_usd == billed
    spent, held = await bench.balance()
    assert spent == billed
    assert held == (first["estimated_cost"] if known is None else 0)
    if known is not None:
        assert billed == bench.true_spend
    await bench.assert_money_is_covered()


def test_failure_table_covers_every_fault_that_answers_at_once():
    not_answered_at_once = {"hang", "hang_mid_body", "slow_drip", "no_done", "batch_expires"}
    assert {case.fault for case in CASES} | not_answered_at_once == {fault.value for fault in Fault}


@pytest.mark.parametrize("fault", ["rate_limited_daily", "out_of_credits", "in_flight"])
async def test_account_wide_limit_parks_the_request_when_asked_to(bench, fault):
    bench.fail(fault)
    result = await bench.route(on_exhausted="park")
    assert result.status == "parked"
    assert bench.asked == 1
    assert await bench.balance() == (0, 0)


@pytest.mark.parametrize("fault", ["rate_limited", "in_flight"])
async def test_retry_after_is_honoured_once_with_the_same_model(bench, fault):
    bench.fail(fault, retry_after=0)
    result = await bench.route()
    rows = await bench.rows(result.decision_id)
    assert [(row["selected_model"], row["state"]) for row in rows] == [
        (FIRST, "RELEASED"),
        (FIRST, "SETTLED"),
    ]
    assert result.status == "completed"


async def test_retry_after_is_not_honoured_twice(bench):
    bench.fail("rate_limited", {"model": FIRST}, retry_after=0, times=2)
    result = await bench.route()
    assert [a.model for a in result.attempts] == [FIRST, FIRST, SECOND]


@pytest.mark.parametrize("retry_after", [61, 86400, "soon", "-5"])
async def test_retry_after_beyond_a_minute_or_unreadable_goes_to_the_next_model(bench, retry_after):
    bench.fail("rate_limited", {"model": FIRST}, retry_after=retry_after)
    result = await bench.route()
    assert [a.model for a in result.attempts] == [FIRST, SECOND]


async def test_retry_after_beyond_the_deadline_goes_to_the_next_model(bench):
    bench.fail("rate_limited", {"model": FIRST}, retry_after=50)
    result = await bench.route(deadline_s=40)
    assert [a.model for a in result.attempts] == [FIRST, SECOND]


async def test_overrun_is_booked_in_full_and_blocks_further_admission(bench):
    await _set_global(bench, "0.50")
    bench.fail("cost_multiplied", multiplier=1000)  # $0.9075 against a hold of cents
    overrun = await bench.route()
    (row,) = await bench.rows(overrun.decision_id)
    assert row["overrun_usd"] == row["actual_cost"] - row["estimated_cost"] > 0
    assert (await bench.balance())[0] == bench.true_spend == Decimal("0.9075")
    assert (await bench.route("And the next one?")).status == "rejected"
    assert bench.asked == 1


async def test_every_model_failing_ends_failed_and_keeps_every_unknown_hold(bench):
    bench.fail("server_error", times=None, charged=True)
    result = await bench.route()
    rows = await bench.rows(result.decision_id)
    assert result.status == "failed"
    assert len(rows) == 3
    assert {row["state"] for row in rows} == {"UNKNOWN"}
    spent, held = await bench.balance()
    assert (spent, held) == (0, sum(row["estimated_cost"] for row in rows))
    assert held >= bench.true_spend > 0


async def test_served_model_is_recorded_when_it_is_not_the_one_asked(bench):
    bench.fail("other_model", served_model="openai/gpt-4o-2024-08-06")
    result = await bench.route()
    (row,) = await bench.rows(result.decision_id)
    assert (row["selected_model"], row["served_model"]) == (FIRST, "openai/gpt-4o-2024-08-06")


async def _set_global(bench, amount: str) -> None:
    from models.budget import parse_budget

    document = {"budget_type": "global", "budget_period": "daily", "budget_amount": amount}
    await bench.runtime.ledger.set_budget(parse_budget(document))
