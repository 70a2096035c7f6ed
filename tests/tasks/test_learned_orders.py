"""New versions of policies from recorded outcomes, and what the next request does with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from models.learning.kinds import Kind
from models.policy import LearnedOrder
from tasks.adapters.learning import KINDS_MAX, kinds_of, learn_orders
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.feedback import save_feedback
from tasks.adapters.store.outcomes import recompute
from tasks.adapters.store.policies import read_policy, save_orders
from tests.bench import Bench
from tests.models.builders import policy_of
from tests.tasks.ledger_rows import (
    OTHER,
    USUAL,
    ask,
    save_two_models,
    use_model,
    write_outcomes,
)

pytestmark = pytest.mark.anyio
START = datetime.now(UTC) - timedelta(hours=6)


async def learn(runtime: Runtime, now: datetime | None = None) -> list[str]:
    """Recompute everything that changed; return the policies that moved."""
    await recompute(runtime.database)
    return [one.name for one in await learn_orders(runtime, now) if one.moved]


async def learned(runtime: Runtime) -> Sequence[LearnedOrder]:
    return (await read_policy(runtime.database, "code")).orders


async def test_new_version_says_who_moved_what_and_why(runtime: Runtime) -> None:
    await save_two_models(runtime.database)
    await use_model(runtime.database, USUAL, 0.3, 100, at=START)
    assert await learn(runtime) == ["code"]
    (row,) = await runtime.database.fetch_all(
        "SELECT reason, source FROM routing_policy_versions WHERE name = 'code'"
        " ORDER BY version DESC LIMIT 1"
    )
    assert row["source"] == "learned"
    assert row["reason"].startswith("recompute-priorities: ")
    assert f"{OTHER} before {USUAL}" in row["reason"]


async def test_next_request_asks_in_the_learned_order_and_says_so(bench: Bench) -> None:
    await save_two_models(bench.runtime.database)
    await use_model(bench.runtime.database, USUAL, 0.3, 100, at=START)
    await learn(bench.runtime)
    result = await ask()
    assert result.model == OTHER
    assert any("learned for" in reason for reason in result.reasons)


async def test_learning_moves_nothing_when_it_runs_again(runtime: Runtime) -> None:
    await save_two_models(runtime.database)
    await use_model(runtime.database, USUAL, 0.3, 100, at=START)
    assert await learn(runtime) == ["code"]
    version = (await read_policy(runtime.database, "code")).version
    assert await learn(runtime) == []
    assert (await read_policy(runtime.database, "code")).version == version


async def test_nine_failures_in_a_row_are_too_little_evidence(runtime: Runtime) -> None:
    await save_two_models(runtime.database)
    await use_model(runtime.database, USUAL, 0.0, 9, at=START)
    assert await learn(runtime) == []
    await use_model(runtime.database, USUAL, 0.0, 3, at=START + timedelta(minutes=1))
    assert await learn(runtime) == ["code"]  # 0.99^0 + ... + 0.99^11 = 11.4, at least 10


async def test_demoted_model_is_tried_again_once_its_failures_are_old(runtime: Runtime) -> None:
    await save_two_models(runtime.database)
    then = START - timedelta(days=60)
    await use_model(runtime.database, USUAL, 0.2, 60, at=then)
    assert await learn(runtime, then + timedelta(hours=1)) == ["code"]
    await use_model(runtime.database, OTHER, 0.7, 100, at=START)
    # 60 days without use are 8.6 half-lives, 45 outcomes weigh 0.1: its prior counts again
    assert await learn(runtime) == ["code"]
    assert (await learned(runtime))[0].models[0] == USUAL


async def test_failures_in_many_kinds_of_work_demote_a_model_for_work_that_was_never_seen(
    runtime: Runtime,
) -> None:
    await save_two_models(runtime.database)
    for number in range(20):  # five outcomes a type would be too little for each of them
        await write_outcomes(runtime.database, [True, False, False, False, False], START,
                             model=USUAL, task_type=f"type{number}")  # fmt: skip
    await learn(runtime)
    (order,) = [one for one in await learned(runtime) if one.task_type == "*"]
    assert order.models[0] == OTHER


async def test_feedback_demotes_a_model_whose_answers_only_looked_right(runtime: Runtime) -> None:
    await save_two_models(runtime.database)
    decisions = await write_outcomes(runtime.database, [True] * 60, START)
    assert await learn(runtime) == []
    for decision in decisions:
        await save_feedback(
            runtime.database, decision, attempt_no=None, score=Decimal(0), given_by="tests"
        )
    assert await learn(runtime) == ["code"]


async def test_policy_that_does_not_learn_keeps_its_order(runtime: Runtime) -> None:
    await save_two_models(runtime.database, learning="off")
    await use_model(runtime.database, USUAL, 0.1, 100, at=START)
    await recompute(runtime.database)
    (found,) = [one for one in await learn_orders(runtime) if one.name == "code"]
    assert (found.moved, found.note) == (False, "learning is off")
    assert await learned(runtime) == ()


async def test_model_that_is_too_slow_does_not_come_first(runtime: Runtime) -> None:
    await save_two_models(runtime.database, latency_ms_max=2000)
    await write_outcomes(runtime.database, [True] * 40, START, model=USUAL, latency_ms=8000)
    await write_outcomes(runtime.database, [True] * 40, START, model=OTHER, latency_ms=700)
    assert await learn(runtime) == ["code"]
    assert all(one.models[0] == OTHER for one in await learned(runtime))


async def test_edit_of_a_person_keeps_learned_orders_unless_it_is_about_the_models(
    runtime: Runtime,
) -> None:
    await save_two_models(runtime.database)
    await use_model(runtime.database, USUAL, 0.3, 100, at=START)
    await learn(runtime)
    orders = await learned(runtime)
    assert orders
    edited = await save_two_models(runtime.database, description="edited")
    assert (edited.description, edited.orders) == ("edited", orders)
    written_otherwise = [{"model": OTHER, "priority": 2}, {"model": USUAL, "priority": 1}]
    assert (await save_two_models(runtime.database, models=written_otherwise)).orders == orders
    anew = [{"model": OTHER, "priority": 1}, {"model": USUAL, "priority": 2}]
    assert (await save_two_models(runtime.database, models=anew)).orders == ()


async def test_orders_in_the_document_of_a_person_are_passed_over(runtime: Runtime) -> None:
    before = await save_two_models(runtime.database)
    mine = [{"task_type": "fix_bug", "models": [OTHER, USUAL]}]
    assert await save_two_models(runtime.database, orders=mine) == before


async def test_edit_made_while_learning_is_not_overwritten(runtime: Runtime) -> None:
    read = await save_two_models(runtime.database)
    await save_two_models(runtime.database, description="edited meanwhile")
    orders = [LearnedOrder(task_type="fix_bug", models=(OTHER, USUAL))]
    assert await save_orders(runtime.database, read, orders, reason="late") is None
    kept = await read_policy(runtime.database, "code")
    assert (kept.description, kept.orders) == ("edited meanwhile", ())


async def test_exploration_leaves_its_propensity_with_the_decision(bench: Bench) -> None:
    await save_two_models(bench.runtime.database, exploration=0.5)
    for _ in range(12):
        await ask()
    rows = await bench.runtime.database.fetch_all(
        "SELECT propensity, plan #>> '{candidates,0,model_id}' AS first,"
        " (snapshot ->> 'draw')::float8 AS draw FROM routing_decisions"
    )
    assert len(rows) == 12
    for row in rows:  # one other model: half of the requests each
        assert row["propensity"] == 0.5
        assert row["first"] == (OTHER if row["draw"] < 0.5 else USUAL)


async def test_decision_of_a_policy_that_does_not_explore_has_a_propensity_of_one(
    bench: Bench,
) -> None:
    result = await bench.route()
    row = await bench.runtime.database.fetch_one(
        "SELECT propensity FROM routing_decisions WHERE id = %s", (result.decision_id,)
    )
    assert row == {"propensity": 1.0}


async def test_finish_reason_of_an_answer_is_in_its_row(bench: Bench) -> None:
    await bench.route(max_tokens=16)
    await bench.route()
    assert [row["finish_reason"] for row in await bench.rows()] == ["length", "stop"]


def test_kinds_to_order_models_for_always_fit_into_a_policy() -> None:
    orders = [LearnedOrder(task_type=f"known{n}", models=("a/cheap",)) for n in range(100)]
    policy = policy_of("a/cheap").model_copy(update={"orders": tuple(orders)})
    kinds = kinds_of(policy, [Kind(f"new{n}") for n in range(500)])
    assert len(kinds) == KINDS_MAX
    assert kinds[0] == Kind("known0") and kinds[100:102] == (Kind(), Kind("new0"))
