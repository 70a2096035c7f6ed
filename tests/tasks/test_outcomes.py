"""What is learned from the ledger's rows: windows, discounted sums, and every late change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from models.learning.kinds import Kind
from models.learning.posteriors import Outcomes, Posteriors, posteriors_of
from tasks.adapters.database import Database
from tasks.adapters.store.feedback import save_feedback
from tasks.adapters.store.outcomes import recompute
from tasks.adapters.store.posteriors import HALF_LIFE_H, read_kinds, read_posteriors
from tasks.adapters.store.reports import Span, performance_report
from tests.tasks.ledger_rows import write_outcomes

pytestmark = pytest.mark.anyio
MODEL = "openai/gpt-4o-mini"
NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
HOUR = timedelta(hours=1)


async def windows(database: Database) -> list[dict[str, Any]]:
    return await database.fetch_all("SELECT * FROM model_performance ORDER BY window_start")


async def learned(database: Database, now: datetime = NOW) -> Posteriors:
    return await read_posteriors(database, now)


async def successes(database: Database) -> list[int]:
    return [one["successful_requests"] for one in await windows(database)]


async def score(database: Database, decision: Any, value: str, attempt: int | None = None) -> None:
    await save_feedback(
        database, decision, attempt_no=attempt, score=Decimal(value), given_by="tests"
    )


async def test_window_says_what_success_cost_how_long_it_took_and_what_went_wrong(
    database: Database,
) -> None:
    await write_outcomes(database, [True] * 19, NOW, latency_ms=500)
    await write_outcomes(database, [True], NOW + timedelta(minutes=1), latency_ms=2500)
    decisions = await write_outcomes(database, [False, False], NOW + timedelta(minutes=2))
    await write_outcomes(database, ["failed"], NOW, error_kind="busy", cost=Decimal(0))
    await score(database, decisions[0], "0.25")
    await recompute(database)
    (window,) = await windows(database)
    assert (window["total_requests"], window["successful_requests"]) == (23, 20)
    assert window["failed_requests"] == 3
    assert window["avg_response_time_ms"] == 600  # (19 * 500 + 2500) / 20
    latencies = [window[f"{name}_response_time_ms"] for name in ("p50", "p95", "p99")]
    assert latencies == [500, 500, 2500]
    assert window["total_cost"] == Decimal("0.0088")  # 22 * 0.0004
    assert window["cost_per_success"] == Decimal("0.00044")  # 0.0088 / 20: failures are paid too
    assert (window["total_tokens"], window["tokens_per_success"]) == (18400, 920)  # 23 * 800 / 20
    assert window["errors"] == {"answer_rejected": 2, "busy": 1}
    assert (window["satisfaction"], window["rated_requests"]) == (Decimal("0.2500"), 1)


async def test_windows_are_apart_by_model_provider_policy_type_complexity_and_hour(
    database: Database,
) -> None:
    await write_outcomes(database, [True], NOW)
    for other in (
        {"model": "openai/gpt-4o"},
        {"provider": "Azure"},
        {"policy": "ops"},
        {"task_type": "create_pr"},
        {"complexity": "simple"},
        {"provider": None, "policy": None, "task_type": None, "complexity": None},
    ):
        await write_outcomes(database, [True], NOW, **other)
    await write_outcomes(database, [True], NOW - HOUR)
    await recompute(database)
    assert await successes(database) == [1] * 8


async def test_recompute_changes_nothing_when_it_runs_twice(database: Database) -> None:
    await write_outcomes(database, [True, False] * 5, NOW - 5 * HOUR)
    await recompute(database)
    before, known = await windows(database), await learned(database)
    assert (await recompute(database, everything=True)).windows == 1
    drop = ("id", "created_at")
    after = await windows(database)
    assert [{k: v for k, v in one.items() if k not in drop} for one in after] == [
        {k: v for k, v in one.items() if k not in drop} for one in before
    ]
    assert await learned(database) == known


async def test_recompute_looks_only_at_hours_in_which_something_changed(database: Database) -> None:
    old = NOW - timedelta(days=3)
    await write_outcomes(database, [True], old)
    await write_outcomes(database, [True], NOW - 2 * HOUR)
    assert (await recompute(database)).hours is None  # the first time it is everything
    assert (await recompute(database)).hours == 0
    await write_outcomes(database, [True], NOW, settled_at=datetime.now(UTC))
    assert (await recompute(database)).hours == 1
    assert await successes(database) == [1, 1, 1]


async def test_recompute_sees_a_bill_that_came_late(database: Database) -> None:
    old = NOW - timedelta(days=3)
    (decision,) = await write_outcomes(database, ["unknown"], old, cost=None, settled_at=None)
    await recompute(database)
    assert (await windows(database))[0]["total_cost"] == 0
    await database.execute(
        "UPDATE model_selections SET state = 'SETTLED', actual_cost = 0.002,"
        " settled_at = clock_timestamp() WHERE decision_id = %s",
        (decision,),
    )
    await recompute(database)
    (window,) = await windows(database)
    assert (window["total_cost"], window["successful_requests"]) == (Decimal("0.002"), 0)


async def test_recompute_drops_a_window_that_lost_its_last_entry(database: Database) -> None:
    (decision,) = await write_outcomes(
        database, ["unknown"], NOW, provider="a", cost=None, settled_at=None
    )
    await recompute(database)
    await database.execute(
        "UPDATE model_selections SET selected_provider = 'b', actual_cost = 0,"
        " settled_at = clock_timestamp() WHERE decision_id = %s",
        (decision,),
    )
    await recompute(database)
    assert [one["provider"] for one in await windows(database)] == ["b"]


async def test_feedback_corrects_a_success_of_last_week_and_can_be_taken_back(
    database: Database,
) -> None:
    old = NOW - timedelta(days=7)
    decisions = await write_outcomes(database, [True] * 4, old)
    await recompute(database)
    assert await successes(database) == [4]
    before = (await learned(database)).cells[(MODEL, Kind("fix_bug"))].successes
    await score(database, decisions[0], "0.4999")
    await recompute(database)
    assert await successes(database) == [3]
    after = (await learned(database)).cells[(MODEL, Kind("fix_bug"))].successes
    assert after == pytest.approx(before * (1 - 0.99**3 / (1 + 0.99 + 0.99**2 + 0.99**3)))
    await score(database, decisions[0], "0.5")
    await recompute(database)
    assert await successes(database) == [4]


async def test_feedback_makes_a_rejected_answer_right_but_not_a_call_without_an_answer(
    database: Database,
) -> None:
    decisions = await write_outcomes(database, [False, "failed"], NOW)
    for decision in decisions:
        await score(database, decision, "1", 1)
    await recompute(database)
    assert await successes(database) == [1]


async def test_feedback_of_a_decision_is_about_its_last_attempt_that_of_an_attempt_goes_before(
    database: Database,
) -> None:
    decision = uuid4()
    await write_outcomes(database, [False], NOW, decision_id=decision, model="a/first")
    await write_outcomes(database, [True], NOW, decision_id=decision, attempt_no=2, model="b/last")
    await score(database, decision, "0.9")
    await recompute(database)
    right = {one["model_name"]: one["successful_requests"] for one in await windows(database)}
    assert right == {"a/first": 0, "b/last": 1}
    await score(database, decision, "0.1", 2)
    await recompute(database)
    right = {one["model_name"]: one["successful_requests"] for one in await windows(database)}
    assert right == {"a/first": 0, "b/last": 0}


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_answer_that_was_cut_or_filtered_has_not_finished_properly(
    database: Database, reason: str
) -> None:
    await write_outcomes(database, [True], NOW, finish_reason=reason)
    await recompute(database)
    assert await successes(database) == [0]


@pytest.mark.parametrize("kind", ["account_limit", "bad_request", "cancelled", "lease_expired"])
async def test_what_says_nothing_about_the_model_teaches_nothing(
    database: Database, kind: str
) -> None:
    await write_outcomes(database, ["failed"], NOW, error_kind=kind)
    await recompute(database)
    assert (await learned(database)).cells == {}
    assert (await windows(database))[0]["errors"] == {kind: 1}


async def test_posteriors_are_those_of_the_rule_that_takes_outcomes_one_by_one(
    database: Database,
) -> None:
    told: list[tuple[str, Kind, Outcomes]] = []
    for hour in (4, 3, 2, 1, 0):  # no hour is idle, so nothing fades
        at = NOW - hour * HOUR
        rights = [number % (hour + 2) > 0 for number in range(30)]
        await write_outcomes(database, rights, at, latency_ms=100 * hour + 100)
        cells = {"latency_ms": 100.0 * hour + 100}
        told += [
            (MODEL, Kind("fix_bug", "moderate"), Outcomes(float(right), 0.0004, **cells))
            for right in rights
        ]
    await recompute(database)
    expected, found = posteriors_of(told), await learned(database)
    assert found.cells.keys() == expected.cells.keys()
    for place, cell in expected.cells.items():
        for name in ("weight", "successes", "cost_usd", "timed", "latency_ms"):
            assert getattr(found.cells[place], name) == pytest.approx(getattr(cell, name)), name


async def test_posteriors_tell_second_attempts_after_a_rejected_answer_apart(
    database: Database,
) -> None:
    decision = uuid4()
    await write_outcomes(database, [False], NOW, decision_id=decision, model="a/first")
    await write_outcomes(database, [True], NOW, decision_id=decision, attempt_no=2, model="b/last")
    await recompute(database)
    found = await learned(database)
    assert {kind for name, kind in found.cells if name == "b/last"} == {
        Kind("fix_bug", failed_before=1),
        Kind("fix_bug", "moderate", 1),
    }


async def test_posteriors_forget_half_in_a_week_without_use(database: Database) -> None:
    await write_outcomes(database, [True] * 50, NOW)
    await recompute(database)
    place = (MODEL, Kind("fix_bug"))
    fresh = (await learned(database)).cells[place]
    later = (await learned(database, NOW + HALF_LIFE_H * HOUR)).cells[place]
    assert later.weight == pytest.approx(fresh.weight / 2)
    assert later.successes / later.weight == pytest.approx(1.0)


async def test_posteriors_know_a_task_type_that_is_called_like_every_one(
    database: Database,
) -> None:
    await write_outcomes(database, [True], NOW, task_type="*")
    await recompute(database)
    assert (MODEL, Kind("general")) in (await learned(database)).cells


async def test_everything_gives_the_sums_that_hour_by_hour_gave(database: Database) -> None:
    for day in range(3):
        at = NOW - timedelta(days=3 - day)
        await write_outcomes(database, [True, False, True], at, settled_at=datetime.now(UTC))
        await recompute(database)
    by_hour = await learned(database)
    await recompute(database, everything=True)
    assert await learned(database) == by_hour


async def test_kinds_are_those_that_a_policy_served_the_most_frequent_first(
    database: Database,
) -> None:
    await write_outcomes(database, [True], NOW, task_type="create_pr", complexity="simple")
    await write_outcomes(database, [True, True], NOW)
    await recompute(database)
    assert await read_kinds(database, NOW) == {
        "code": (
            Kind("fix_bug"),
            Kind("fix_bug", "moderate"),
            Kind("create_pr"),
            Kind("create_pr", "simple"),
        )
    }


async def test_performance_report_counts_success_as_learning_does(database: Database) -> None:
    decisions = await write_outcomes(database, [True, True, False, False], NOW)
    await score(database, decisions[0], "0")
    await score(database, decisions[2], "0.8")
    span = Span(NOW - HOUR, NOW + HOUR)
    report = await performance_report(database, span, "complexity", after=None, limit=10)
    (group,) = report["groups"]
    assert (group["key"], group["requests"], group["success_rate"]) == ("moderate", 4, 0.5)
    assert group["cost_per_success_usd"] == Decimal("0.0008")  # 4 * 0.0004 / 2
    assert group["tokens_per_success"] == 1600  # 4 * 800 / 2
    assert group["errors"] == {"answer_rejected": 2}
    assert group["satisfaction"] == pytest.approx(0.4)
