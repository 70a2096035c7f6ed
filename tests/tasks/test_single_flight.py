"""Equal requests under way at once, in one process and in many: one upstream call."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString

import pytest
from psycopg.rows import DictRow

from deployments.lanes import run_in_lane
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.database import Database, Parameters
from tasks.adapters.runtime import open_runtime, using_runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store.answers import FIND
from tests.bench import PROMPT, Bench
from tests.tasks.test_cached_answers import with_cache

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]
REQUEST = RoutingRequest(prompt=PROMPT, task_type="fix_bug", worker_id="w1")


def asker(settings: Settings, times: int) -> subprocess.Popen[str]:
    environment = os.environ | {
        "DATABASE_URL": settings.database_dsn,
        "SWITCHYARD_SIMULATOR_URL": str(settings.switchyard_simulator_url),
        "SWITCHYARD_HOME": str(settings.home),
        "PYTHONPATH": str(ROOT),
    }
    for name in ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "tests.tasks.same_asker", str(times)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT
    )


async def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line == "ready\n", process.communicate()


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


async def answers_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    told, problems = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, problems
    return [json.loads(line) for line in told.splitlines()]


async def ask_in(stack: AsyncExitStack, settings: Settings, times: int) -> list[Any]:
    """Open a runtime of its own, with a pool of its own, and ask in it."""
    opened = await stack.enter_async_context(open_runtime(settings))

    async def ask() -> RoutingResult:
        with using_runtime(opened):
            return await run_in_lane(REQUEST, "ledger")

    return [ask() for _ in range(times)]


@pytest.mark.timeout(180)
async def test_fifty_equal_requests_of_many_processes_make_one_upstream_call(
    bench: Bench, settings: Settings
) -> None:
    await with_cache(bench)
    bench.fail("slow_drip", seconds=1.5, times=None)
    processes = [asker(settings, 15) for _ in range(2)]
    async with AsyncExitStack() as stack:
        asked = [one for _ in range(4) for one in await ask_in(stack, settings, 5)]
        await asyncio.gather(*(ready(process) for process in processes))
        for process in processes:
            start(process)
        here = await asyncio.gather(*asked)
        there = [one for process in processes for one in await answers_of(process)]
    answers = [(one.cached, one.content) for one in here]
    answers += [(one["cached"], one["content"]) for one in there]
    assert len(answers) == 50
    assert (len(bench.charges), bench.asked) == (1, 1)
    assert sorted(cached for cached, _ in answers) == [False] + [True] * 49
    assert len({content for _, content in answers}) == 1
    assert await bench.balance() == (bench.true_spend, 0)


@pytest.mark.timeout(120)
async def test_killed_leader_blocks_nobody_beyond_its_lease(
    bench: Bench, settings: Settings
) -> None:
    await with_cache(bench)
    bench.fail("hang", times=1)
    leader = asker(settings, 1)
    await ready(leader)
    start(leader)
    await until(lambda: bench.simulator.simulator.faults.standings[0].fired == 1)
    follower = asyncio.create_task(bench.route())
    leader.kill()
    leader.communicate()
    await asyncio.sleep(0.3)
    assert not follower.done()  # the lease still stands
    await bench.runtime.database.execute(
        "UPDATE answers_in_flight SET lease_expires_at = clock_timestamp()"
    )
    result = await asyncio.wait_for(follower, 20)
    assert (result.status, result.cached) == ("completed", False)
    assert len(await bench.rows(result.decision_id)) == 1


async def until(holds: Any) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to that")


async def test_follower_leads_when_the_leader_fails(bench: Bench) -> None:
    await with_cache(bench)
    bench.fail("bad_request")
    results = await asyncio.gather(*(bench.route() for _ in range(5)))
    assert sorted(str(one.status) for one in results) == ["completed"] * 4 + ["failed"]
    assert (bench.asked, len(bench.charges)) == (2, 1)


async def test_follower_leads_when_the_leader_is_cancelled(bench: Bench) -> None:
    await with_cache(bench)
    bench.fail("hang")
    leader = asyncio.create_task(bench.route())
    await until(lambda: bench.simulator.simulator.faults.standings[0].fired == 1)
    follower = asyncio.create_task(bench.route())
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    assert (await follower).status == "completed"
    assert len(bench.charges) == 2  # what hung is charged as well: only its answer is lost


class LateDatabase(Database):
    """A database whose answers take a while to arrive: what it did is done by then."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._pool)
        self.has_granted = asyncio.Event()

    async def fetch_one(self, query: LiteralString, parameters: Parameters = ()) -> DictRow | None:
        row = await super().fetch_one(query, parameters)
        if query == FIND and row is not None and row["way"] == "lead":
            self.has_granted.set()
            await asyncio.sleep(0.1)
        return row


async def test_lead_of_a_request_that_is_cancelled_while_it_gets_it_is_given_back(
    bench: Bench,
) -> None:
    await with_cache(bench)
    late = LateDatabase(bench.runtime.database)
    with using_runtime(replace(bench.runtime, database=late)):
        leader = asyncio.create_task(bench.route())
    await late.has_granted.wait()
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    assert await late.fetch_all("SELECT * FROM answers_in_flight") == []
    assert bench.asked == 0


async def test_follower_fails_at_its_own_deadline_and_holds_nothing(bench: Bench) -> None:
    await with_cache(bench)
    bench.fail("hang", times=None)
    leader = asyncio.create_task(bench.route())
    await until(lambda: bench.simulator.simulator.faults.standings[0].fired == 1)
    late = await bench.route(deadline_s=0.5)
    assert (late.status, late.reasons[-1]) == ("failed", "the deadline has passed")
    assert await bench.rows(late.decision_id) == []
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)


async def test_nobody_waits_for_another_after_an_answer_that_is_not_kept(bench: Bench) -> None:
    await with_cache(bench)
    results = await asyncio.gather(*(bench.route(max_tokens=5) for _ in range(6)))
    assert {str(one.status) for one in results} == {"completed"}
    assert not any(one.cached for one in results)
    assert bench.asked == 6
    assert await bench.balance() == (bench.true_spend, 0)


async def test_other_workers_do_not_wait_for_each_other(bench: Bench) -> None:
    await with_cache(bench)
    results = await asyncio.gather(*(bench.route(worker_id=f"w{n}") for n in range(4)))
    assert (bench.asked, [one.cached for one in results]) == (4, [False] * 4)


async def test_lead_is_kept_while_its_owner_asks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.adapters import answers

    monkeypatch.setattr(answers, "LEASE_S", 0.4)
    monkeypatch.setattr(answers, "RENEWAL_S", 0.1)
    await with_cache(bench)
    bench.fail("slow_drip", seconds=1.2, times=None)
    results = await asyncio.gather(*(bench.route() for _ in range(3)))
    assert (bench.asked, sum(one.cached for one in results)) == (1, 2)
