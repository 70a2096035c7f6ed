"""Hedging in lane `ledger`: the first good answer is taken, and what both calls cost is booked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deployments.api.lanes import Lanes
from deployments.api.options import ServeOptions
from models.policy import Policy, parse_policy
from models.request import RoutingRequest, Trace
from models.result import RoutingResult
from tasks.adapters.ledger import reconcile_unknown
from tasks.adapters.sink import current_sink
from tasks.adapters.store.policies import apply_policies, read_policy
from tests.bench import Bench

pytestmark = pytest.mark.anyio

FIRST, SECOND, THIRD = "openai/gpt-4o", "anthropic/claude-sonnet-5.5", "openai/gpt-4.1-mini"


@pytest.fixture(params=["plain", "gathered"])
def bench(request, runtime, simulator, mocker) -> Bench:
    """A bench whose requests take the plain steps, or the gathered ones of the API."""
    if request.param == "gathered":
        lanes = Lanes(ServeOptions(lane="ledger"), prefect_known=False)

        async def run(request: RoutingRequest, trace: Trace) -> RoutingResult:
            return await lanes.run(request, trace, sink=current_sink())

        mocker.patch("tests.bench.run_in_lane", run)
    return Bench(runtime, simulator)


async def set_hedge(bench: Bench, after: Any = 100, *, timeout_s: float = 30, **more: Any) -> None:
    policy: Policy = await read_policy(bench.runtime.database, "code")
    changes = {"hedge": {"after": after} | more, "timeout_s": timeout_s}
    changed = parse_policy(policy.stored() | changes)
    await apply_policies(bench.runtime.database, [changed], source="person", reason="hedge")


def slow(bench: Bench, model: str, seconds: float) -> None:
    bench.fail("slow_drip", {"model": model}, seconds=seconds)


async def reconcile(bench: Bench, cancelled: int = 1) -> None:
    """Ask what the cancelled calls cost, once the upstream has noticed that nobody listens."""
    for _ in range(500):
        if sum(charge.cancelled for charge in bench.charges) == cancelled:
            break
        await asyncio.sleep(0.01)
    await bench.runtime.database.execute(
        "UPDATE model_selections SET reconcile_after = now() - interval '1 second'"
        " WHERE state = 'UNKNOWN'"
    )
    report = await reconcile_unknown(bench.runtime.ledger, bench.runtime.upstream)
    assert report.by_generation == cancelled


def outcomes(result: Any) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.outcome.value) for attempt in result.attempts]


async def test_second_model_answers_when_the_first_is_slow_and_both_are_paid_right(bench):
    await set_hedge(bench)
    slow(bench, FIRST, 20)
    result = await bench.route()
    assert (result.status, result.model, result.hedged) == ("completed", SECOND, "second")
    assert outcomes(result) == [(FIRST, "cancelled"), (SECOND, "ok")]
    assert result.latency_ms < 15_000
    assert result.reasons[-2:] == [
        f"{FIRST} has not answered after 100 ms: {SECOND} joins",
        f"{SECOND} answered first: {FIRST} is cancelled",
    ]
    first, second = await bench.rows(result.decision_id)
    assert (first["state"], first["error"]) == ("UNKNOWN", "another model answered first")
    assert (second["state"], result.attempts[0].cost_usd) == ("SETTLED", None)
    await bench.assert_money_is_covered()
    await reconcile(bench)
    first, second = await bench.rows(result.decision_id)
    assert (first["state"], first["settle_source"]) == ("SETTLED", "generation_api")
    charged = {charge.model: charge.true_cost for charge in bench.charges}
    assert (first["actual_cost"], second["actual_cost"]) == (charged[FIRST], charged[SECOND])
    assert await bench.balance() == (bench.true_spend, 0)


async def test_quick_first_model_is_not_hedged(bench):
    await set_hedge(bench, 20_000)
    result = await bench.route()
    assert (outcomes(result), result.hedged) == ([(FIRST, "ok")], None)
    assert bench.asked == 1
    assert await bench.balance() == (bench.true_spend, 0)


async def test_first_model_wins_when_the_second_is_slower_still(bench):
    await set_hedge(bench)
    slow(bench, FIRST, 1)
    slow(bench, SECOND, 30)
    result = await bench.route()
    assert outcomes(result) == [(FIRST, "ok"), (SECOND, "cancelled")]
    assert (result.model, result.hedged) == (FIRST, "first")
    await reconcile(bench)
    assert await bench.balance() == (bench.true_spend, 0)


async def test_first_model_goes_on_alone_without_money_for_a_second_hold(bench):
    await set_hedge(bench)
    first = await bench.route()
    slow(bench, FIRST, 1)
    cap = first.attempts[0].estimated_cost_usd * 3 / 2
    result = await bench.route("Another bug.", max_cost_usd=str(cap))
    assert (outcomes(result), result.hedged) == ([(FIRST, "ok")], None)
    assert result.reasons[-1].startswith(f"no hedge by {SECOND}: needs $")
    assert await bench.balance() == (bench.true_spend, 0)


async def test_second_call_above_the_extra_cost_is_not_made(bench):
    await set_hedge(bench, max_extra_cost_usd="0.0001")
    slow(bench, FIRST, 0.6)
    result = await bench.route()
    assert outcomes(result) == [(FIRST, "ok")]
    assert result.reasons[-1].startswith("no hedge: the worst case")


async def test_third_model_is_asked_when_both_fail(bench):
    await set_hedge(bench, timeout_s=1.5)
    bench.fail("hang", {"model": FIRST}, seconds=60)
    bench.fail("bad_gateway", {"model": SECOND})
    result = await bench.route()
    assert outcomes(result) == [(FIRST, "unknown"), (SECOND, "unknown"), (THIRD, "ok")]
    assert [reason.split(":")[0] for reason in result.reasons[-2:]] == [FIRST, SECOND]
    assert (result.model, result.hedged) == (THIRD, "neither")
    await bench.assert_money_is_covered()


async def test_second_model_goes_on_when_the_first_fails_meanwhile(bench):
    await set_hedge(bench, 1000, timeout_s=2.5)
    bench.fail("hang", {"model": FIRST}, seconds=60)
    slow(bench, SECOND, 2)
    result = await bench.route()
    assert outcomes(result) == [(FIRST, "unknown"), (SECOND, "ok")]
    assert result.model == SECOND


async def test_first_model_goes_on_when_the_second_fails(bench):
    await set_hedge(bench)
    slow(bench, FIRST, 1)
    bench.fail("empty_answer", {"model": SECOND})
    result = await bench.route()
    assert outcomes(result) == [(FIRST, "ok"), (SECOND, "failed")]
    assert (result.model, result.reasons[-1].split(":")[0]) == (FIRST, SECOND)
    assert await bench.balance() == (bench.true_spend, 0)


async def test_answer_that_fails_its_check_does_not_win(bench):
    await set_hedge(bench)
    slow(bench, FIRST, 1)
    result = await bench.route(accept={"regex": "never in any answer 8713"})
    assert result.status == "failed"
    assert outcomes(result) == [
        (FIRST, "rejected_answer"),
        (SECOND, "rejected_answer"),
        (THIRD, "rejected_answer"),
    ]
    assert await bench.balance() == (bench.true_spend, 0)


async def test_caller_who_goes_away_cancels_both_and_leaves_both_to_be_priced(bench):
    await set_hedge(bench)
    slow(bench, FIRST, 30)
    slow(bench, SECOND, 30)
    asked = asyncio.create_task(bench.route())
    for _ in range(1000):
        rows = await bench.rows()
        if len(rows) == 2 and all(row["generation_id"] for row in rows):
            break
        await asyncio.sleep(0.01)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    rows = await bench.rows()
    assert {(row["state"], row["error"]) for row in rows} == {
        ("UNKNOWN", "cancelled by the caller")
    }
    await reconcile(bench, cancelled=2)
    assert await bench.balance() == (bench.true_spend, 0)


async def test_stream_is_that_of_the_first_token_and_no_other_piece_is_passed_on(bench, collected):
    await set_hedge(bench)
    slow(bench, FIRST, 60)
    result = await bench.route(sink=collected)
    assert (result.model, collected.chosen_models) == (SECOND, [FIRST, SECOND])
    assert collected.text == result.content
    assert outcomes(result) == [(FIRST, "cancelled"), (SECOND, "ok")]
    await reconcile(bench)
    assert await bench.balance() == (bench.true_spend, 0)


async def test_slow_model_is_cancelled_as_soon_as_the_other_one_streams(bench, collected):
    await set_hedge(bench)
    slow(bench, FIRST, 120)
    slow(bench, SECOND, 10)
    asked = asyncio.create_task(bench.route(sink=collected))
    states = [""]
    while not asked.done() and states[0] != "UNKNOWN":
        await asyncio.sleep(0.02)
        states = [row["state"] for row in await bench.rows()] or [""]
    assert (states, asked.done()) == (["UNKNOWN", "SENT"], False)
    assert outcomes(await asked) == [(FIRST, "cancelled"), (SECOND, "ok")]


async def test_stream_whose_first_token_has_come_is_not_hedged(bench, collected):
    await set_hedge(bench, 1500)
    slow(bench, FIRST, 3)
    result = await bench.route(sink=collected)
    assert (outcomes(result), collected.chosen_models) == ([(FIRST, "ok")], [FIRST])
    assert collected.text == result.content


async def test_stream_that_breaks_after_its_first_token_is_not_replaced(bench, collected):
    await set_hedge(bench)
    slow(bench, FIRST, 60)
    bench.fail("cut", {"model": SECOND}, at=0.6)
    result = await bench.route(sink=collected)
    assert (result.status, outcomes(result)) == (
        "failed",
        [(FIRST, "cancelled"), (SECOND, "unknown")],
    )
    assert result.reasons[-1].startswith(f"{SECOND}: ")


async def test_p95_of_the_first_models_own_answers_decides(bench):
    await set_hedge(bench, "p95")
    quick = [await bench.route(f"Bug {number}.") for number in range(10)]
    assert quick[0].reasons[-1] == f"no hedge: fewer than 10 answers of {FIRST} are known"
    await asyncio.sleep(1.1)  # the gathered lane reads statistics once a second
    slow(bench, FIRST, 30)
    result = await bench.route("The slow one.")
    assert outcomes(result) == [(FIRST, "cancelled"), (SECOND, "ok")]
    assert "ms, its p95: " in result.reasons[-2]


async def test_hedged_decision_is_read_back_with_the_bill_that_came_later(bench):
    from tasks.adapters.outcomes import current_result

    await set_hedge(bench)
    slow(bench, FIRST, 20)
    result = await bench.route()
    await reconcile(bench)
    again = await current_result(bench.runtime, result.decision_id)
    assert outcomes(again) == [(FIRST, "cancelled"), (SECOND, "ok")]
    assert again.attempts[0].cost_usd is not None
    assert again.cost_usd == bench.true_spend
