"""Decisions under rate limits: they wait before money is held, go elsewhere, or are refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deployments.api.lanes import Lanes
from deployments.api.options import ServeOptions
from deployments.lanes import run_in_lane
from deployments.simulator import SimulatorConfig, running_simulator
from models.rate_limit import LimitOrder
from models.request import RoutingRequest
from tasks.adapters.runtime import Runtime, open_runtime, using_runtime
from tasks.adapters.store.limits import read_limits, set_limit
from tests.bench import Bench
from tests.conftest import settings_for

pytestmark = pytest.mark.anyio

FIRST, SECOND = "openai/gpt-4o", "anthropic/claude-sonnet-5.5"


async def limit(opened: Runtime, model: str, **numbers: float) -> None:
    order = LimitOrder.model_validate({"model": model} | numbers)
    await set_limit(opened.database, opened.limits.account, order)
    opened.limits.forget()


async def until(bench: Bench, query: str) -> None:
    for _ in range(1000):
        row = await bench.runtime.database.fetch_one(query)
        if row is not None and row["n"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"nothing came of: {query}")


async def until_somebody_waits(bench: Bench) -> None:
    for _ in range(1000):
        (found,) = await read_limits(bench.runtime.database, bench.runtime.limits.account)
        if found.waiting:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits for a turn")


@pytest.fixture(params=["plain", "gathered"])
def bench(request, runtime, simulator, mocker) -> Bench:
    """A bench whose requests take the plain steps, or the gathered ones of the API."""
    if request.param == "gathered":
        lanes = Lanes(ServeOptions(lane="ledger"), prefect_known=False)
        mocker.patch("tests.bench.run_in_lane", lanes.run)
    return Bench(runtime, simulator)


async def test_call_above_the_limit_waits_for_its_turn_and_holds_no_money_meanwhile(bench):
    await limit(bench.runtime, FIRST, requests=1, period_s=4)
    await bench.route()
    waiting = asyncio.create_task(bench.route("The second one."))
    await until_somebody_waits(bench)
    assert await bench.balance() == (bench.true_spend, 0)
    result = await waiting
    assert (result.status, result.model) == ("completed", FIRST)
    assert result.latency_ms > 300
    assert [row["selected_model"] for row in await bench.rows()] == [FIRST, FIRST]


async def test_next_model_is_asked_when_the_turn_is_too_far_away(bench):
    await limit(bench.runtime, FIRST, requests=1, period_s=1000)
    await bench.route()
    result = await bench.route("The second one.")
    assert [attempt.model for attempt in result.attempts] == [SECOND]
    assert any(
        reason.startswith(f"{FIRST}: the rate limit of {FIRST} has no room within 60 s")
        for reason in result.reasons
    )


async def test_wait_is_bounded_by_the_deadline(bench):
    await limit(bench.runtime, FIRST, requests=1, period_s=20)
    await bench.route()
    result = await bench.route("The second one.", deadline_s=5)
    assert [attempt.model for attempt in result.attempts] == [SECOND]


@pytest.mark.parametrize(("on_exhausted", "status"), [("park", "parked"), ("reject", "rejected")])
async def test_request_parks_or_is_refused_when_the_key_itself_has_no_turn(
    bench, on_exhausted, status
):
    await limit(bench.runtime, "*", requests=1, period_s=1000)
    await bench.route()
    result = await bench.route("The second one.", on_exhausted=on_exhausted)
    assert (result.status, result.attempts) == (status, [])
    assert "the rate limit of the key" in result.reasons[-1]
    assert bench.asked == 1
    assert await bench.balance() == (bench.true_spend, 0)


async def test_request_is_refused_when_every_model_of_the_plan_is_at_its_limit(bench):
    for model in (FIRST, SECOND, "openai/gpt-4.1-mini"):
        await limit(bench.runtime, model, requests=1, period_s=1000)
    results = [await bench.route(f"Bug {number}.") for number in range(4)]
    assert [result.status for result in results] == ["completed"] * 3 + ["rejected"]
    assert bench.asked == 3


async def test_cancelled_wait_leaves_the_queue(bench):
    await limit(bench.runtime, FIRST, requests=1, period_s=50)
    await bench.route()
    waiting = asyncio.create_task(bench.route("The second one."))
    await until_somebody_waits(bench)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    (found,) = await read_limits(bench.runtime.database, bench.runtime.limits.account)
    assert found.waiting == 0
    assert len(await bench.rows()) == 1


async def test_answer_of_a_caller_that_leaves_while_its_place_is_given_back_is_booked(bench):
    await limit(bench.runtime, FIRST, concurrency=1)
    database = bench.runtime.database
    bench.fail("slow_drip", seconds=0.3)
    leaving = asyncio.create_task(bench.route())
    await until(bench, "SELECT count(*)::int AS n FROM rate_tickets WHERE is_running")
    async with database.connection() as connection, connection.transaction():
        await connection.execute("LOCK TABLE rate_tickets IN SHARE MODE")  # none is given back
        await until(
            bench,
            "SELECT count(*)::int AS n FROM pg_locks"
            " WHERE relation = 'rate_tickets'::regclass AND NOT granted",
        )
        leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    (row,) = await bench.rows()
    assert (row["state"], row["settle_source"]) == ("SETTLED", "usage")
    assert await bench.balance() == (bench.true_spend, 0)


async def test_concurrency_is_kept_and_its_places_given_back(bench):
    await limit(bench.runtime, FIRST, concurrency=2)
    bench.fail("slow_drip", times=None, seconds=0.4)
    running = asyncio.gather(*(bench.route(f"Bug {number}.") for number in range(5)))
    most = 0
    while not running.done():
        row = await bench.runtime.database.fetch_one(
            "SELECT count(*)::int AS sent FROM model_selections WHERE state = 'SENT'"
        )
        most = max(most, row["sent"])
        await asyncio.sleep(0.02)
    assert {result.model for result in await running} == {FIRST}
    assert most == 2
    (found,) = await read_limits(bench.runtime.database, bench.runtime.limits.account)
    assert (found.running, found.waiting, found.turns) == (0, 0, 5)


async def test_requests_without_a_limit_make_no_statement_for_limits_but_one_read(bench, mocker):
    reads = mocker.spy(bench.runtime.database, "fetch_all")
    mocker.patch("tasks.adapters.known_limits.KEEP_S", 60.0)
    for number in range(3):
        await bench.route(f"Bug {number}.")
    about_limits = [call for call in reads.call_args_list if "rate_limits" in call.args[0]]
    taken = [call for call in reads.call_args_list if "take_turn" in call.args[0]]
    assert (len(about_limits), taken) == (1, [])


async def test_busy_pool_that_names_a_time_is_left_alone_by_all_until_then(bench):
    bench.fail("rate_limited", {"model": FIRST}, retry_after=61)
    first = await bench.route()
    second = await bench.route("Another one.")
    assert [attempt.model for attempt in first.attempts] == [FIRST, SECOND]
    assert [attempt.model for attempt in second.attempts] == [SECOND]
    assert bench.asked == 3


@contextlib.asynccontextmanager
async def limited_upstream(
    routing_url: str, folder: Path, *, requests: int, window_s: float
) -> AsyncIterator[tuple[Bench, Runtime]]:
    """A bench over an upstream with an own limit, and a second process's runtime beside it."""
    config = SimulatorConfig(latency_scale=0, account_requests=requests, rate_window_s=window_s)
    with running_simulator(config) as simulator:
        settings = settings_for(routing_url, simulator.url, folder)
        async with open_runtime(settings) as opened, open_runtime(settings) as beside:
            with using_runtime(opened):
                yield Bench(opened, simulator), beside


async def test_own_429_teaches_pace_and_reset_to_every_process(routing_url, tmp_path):
    async with limited_upstream(routing_url, tmp_path, requests=3, window_s=40) as (bench, beside):
        results = [await bench.route(f"Bug {n}.", deadline_s=20) for n in range(4)]
        assert [result.status for result in results] == ["completed"] * 3 + ["rejected"]
        with using_runtime(beside):
            other = await bench.route("Asked elsewhere.", deadline_s=20)
        assert (other.status, bench.asked) == ("rejected", 4)
        (found,) = await read_limits(beside.database, beside.limits.account)
        assert (found.model, found.source, found.requests) == ("*", "learned", 3)
        assert found.blocked_until is not None


async def test_own_429_with_a_near_reset_is_waited_for_once(routing_url, tmp_path):
    async with limited_upstream(routing_url, tmp_path, requests=2, window_s=1) as (bench, _):
        results = [await bench.route(f"Bug {number}.") for number in range(3)]
        assert [result.status for result in results] == ["completed"] * 3
        assert bench.simulator.simulator.answers["/api/v1/chat/completions 429"] == 1


async def test_workers_of_unequal_demand_share_a_limit_evenly_and_meet_no_429(
    routing_url, tmp_path
):
    """24 calls in 6 s, asked for by 30, 3 and 3 callers at once, of two processes."""
    async with limited_upstream(routing_url, tmp_path, requests=24, window_s=6) as (bench, beside):
        # a tenth of a minute leaves a tenth of its slack for calls that come late: more here
        await limit(bench.runtime, "*", requests=24, period_s=6.6)
        done: Counter[str] = Counter()
        enough = asyncio.Event()

        async def call_on(worker: str, opened: Runtime) -> None:
            with using_runtime(opened):
                while True:
                    request = RoutingRequest(prompt="Is it up?", worker_id=worker, policy="ops")
                    result = await run_in_lane(request, "ledger")
                    done[worker] += result.status == "completed"
                    if done.total() >= 33:
                        enough.set()

        callers = [
            asyncio.create_task(call_on(worker, (bench.runtime, beside)[number % 2]))
            for worker, count in (("greedy", 30), ("modest", 3), ("other", 3))
            for number in range(count)
        ]
        await asyncio.wait_for(enough.wait(), 60)
        for caller in callers:
            caller.cancel()
        ended = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
        refused = bench.simulator.simulator.answers["/api/v1/chat/completions 429"]
        assert refused <= 0.02 * bench.asked
        assert max(done.values()) <= 1.2 * min(done.values()), done
