"""Two API processes share a port, the limits and the metrics, and lose nothing when one dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import httpx
import pytest

from deployments.simulator import Fault, FaultRule
from tasks.adapters.ledger import reconcile_unknown
from tasks.adapters.runtime import open_runtime
from tests.cli.conftest import SWITCHYARD, clean_environment
from tests.deployments.fleet.conftest import Fleet
from tests.soak.soak import ATTEMPT

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"max_tokens": 50, "messages": [{"role": "user", "content": "Is it up?"}]}
MODELS = "/v1/models"

pytestmark = pytest.mark.anyio


async def _connected(stack: AsyncExitStack, fleet: Fleet, count: int, token: str | None = None):  # type: ignore[no-untyped-def]
    """Open so many connections; they are shared out evenly."""
    fleet.wait_for_members()
    clients = [await stack.enter_async_context(fleet.client(token)) for _ in range(count)]
    for client in clients:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
    return clients


def _port_of(answer: httpx.Response) -> int:
    stream = answer.extensions["network_stream"]
    return int(stream.get_extra_info("client_addr")[1])


def _counted(text: str, route: str) -> int:
    """Return how many requests of a route the metrics name."""
    line = rf'switchyard_http_request_seconds_count{{.*route="{route}".*}} ([0-9.]+)'
    return sum(int(float(number)) for number in re.findall(line, text))


async def test_connections_are_shared_out_evenly(fleet: Fleet) -> None:
    async with AsyncExitStack() as stack:
        await _connected(stack, fleet, 8)
        by_process = list(fleet.served_by().values())
        assert sorted(by_process.count(pid) for pid in fleet.members) == [4, 4]


async def test_requests_a_minute_of_a_key_hold_over_all_processes(fleet: Fleet) -> None:
    token = await asyncio.to_thread(fleet.key, "ten-a-minute", requests_per_minute=10)
    async with AsyncExitStack() as stack:
        clients = await _connected(stack, fleet, 6, token)
        began_s = time.monotonic()
        answers = await asyncio.gather(*(one.get(MODELS) for one in clients for _ in range(5)))
        grown = int((time.monotonic() - began_s) * 10 / 60)
    codes = [answer.status_code for answer in answers]
    assert 10 <= codes.count(200) <= 10 + grown
    assert set(codes) == {200, 429}


async def test_requests_at_once_of_a_key_hold_over_all_processes(fleet: Fleet) -> None:
    token = await asyncio.to_thread(fleet.key, "three-at-once", concurrent_max=3)
    fleet.simulator.add_fault(FaultRule(fault=Fault.SLOW_DRIP, seconds=1.5, charged=True))
    async with AsyncExitStack() as stack:
        clients = await _connected(stack, fleet, 8, token)
        answers = await asyncio.gather(*(one.post(CHAT, json=ASK) for one in clients))
        fleet.simulator.clear_faults()
        codes = [answer.status_code for answer in answers]
        assert (codes.count(200), codes.count(429)) == (3, 5)
        assert (await clients[0].post(CHAT, json=ASK)).status_code == 200


async def test_every_process_shows_the_sums_over_all(fleet: Fleet) -> None:
    async with AsyncExitStack() as stack:
        clients = await _connected(stack, fleet, 4)
        before = _counted((await clients[0].get("/metrics")).text, MODELS)
        for client in clients:
            for _ in range(3):
                assert (await client.get(MODELS)).status_code == 200
        answers = [await client.get("/metrics") for client in clients]
        assert {fleet.served_by()[_port_of(answer)] for answer in answers} == set(fleet.members)
    assert [_counted(answer.text, MODELS) - before for answer in answers] == [12] * 4
    assert all("\nswitchyard_http_requests_running 1.0" in answer.text for answer in answers)
    assert all('part="limit"' in answer.text for answer in answers)
    assert all(
        line.startswith(("# ", "switchyard_")) for line in answers[0].text.strip().splitlines()
    )


async def test_second_server_on_the_port_is_refused_in_one_line(fleet: Fleet) -> None:
    port = str(httpx.URL(fleet.url).port)
    second = await asyncio.to_thread(
        subprocess.run,
        [SWITCHYARD, "serve", "--port", port, "--trace", "ledger", "--processes", "2"],
        env=clean_environment(
            SWITCHYARD_HOME=str(fleet.settings.home),
            DATABASE_URL=fleet.settings.database_dsn,
            SWITCHYARD_SIMULATOR_URL=fleet.simulator.url,
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert port in second.stderr and second.stderr.count("\n") == 1
    async with fleet.client() as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_process_that_is_asked_to_end_takes_no_request_along(fleet: Fleet) -> None:
    fleet.wait_for_members()
    leaving = fleet.members[0]
    os.kill(leaving, signal.SIGTERM)
    codes = []
    for _ in range(60):  # while it leaves and after; each on a connection of its own
        async with fleet.client() as client:
            codes.append((await client.get("/healthz")).status_code)
        await asyncio.sleep(0.01)
    assert codes == [200] * 60
    await asyncio.to_thread(fleet.wait_for_members, without=leaving)
    assert "ended with exit code 0; another one is started in 0.5 s" in fleet.log.read_text()


@pytest.mark.timeout(180)
async def test_killed_process_costs_the_others_nothing_and_the_ledger_no_cent(
    fleet: Fleet,
) -> None:
    fleet.simulator.add_fault(FaultRule(fault=Fault.SLOW_DRIP, seconds=0.2, charged=True))
    async with AsyncExitStack() as stack:
        clients = await _connected(stack, fleet, 8)
        pids = [fleet.served_by()[_port_of(await one.get("/healthz"))] for one in clients]
        counted = _counted((await clients[0].get("/metrics")).text, CHAT)
        work = [asyncio.create_task(_keep_asking(one)) for one in clients]
        await asyncio.sleep(0.7)  # between two answers, which take 0.2 s each
        killed = fleet.members[0]
        os.kill(killed, signal.SIGKILL)
        failed = await asyncio.gather(*work)
        fleet.simulator.clear_faults()
        await asyncio.to_thread(fleet.wait_for_members, without=killed)
        metrics = (await clients[0].get("/metrics")).text
    assert [bad for bad, pid in zip(failed, pids, strict=True) if pid != killed] == [0] * 4
    assert [bad for bad, pid in zip(failed, pids, strict=True) if pid == killed] == [1] * 4
    assert "was killed by SIGKILL; another one is started in" in fleet.log.read_text()
    # what the dead one counted stays; an answer of each connection may be out but not yet counted
    assert _counted(metrics, CHAT) >= counted + 8 * ASKED - 8
    assert "\nswitchyard_http_requests_running 1.0" in metrics  # what it had under way does not
    await _compare_with_the_charges(fleet)


ASKED = 8


async def _keep_asking(client: httpx.AsyncClient) -> int:
    """Ask one after the other; return how many got no answer."""
    failed = 0
    for _ in range(ASKED):
        try:
            assert (await client.post(CHAT, json=ASK)).status_code == 200
        except httpx.TransportError:
            failed += 1
    return failed


async def _compare_with_the_charges(fleet: Fleet) -> None:
    """Bring every hold to its end, then hold each row against the simulator's charge."""
    async with open_runtime(fleet.settings) as opened:
        await opened.database.execute(
            "UPDATE model_selections SET lease_expires_at = clock_timestamp()"
            " WHERE state IN ('RESERVED', 'SENT')"
        )
        await opened.ledger.sweep()
        await opened.database.execute(
            "UPDATE model_selections SET reconcile_after = now() WHERE state = 'UNKNOWN'"
        )
        await reconcile_unknown(opened.ledger, opened.upstream, patience_s=0)
        rows = await opened.database.fetch_all(
            "SELECT idempotency_key AS key, actual_cost AS cost, settle_source AS source"
            " FROM model_selections"
        )
        assert (await opened.ledger.audit()).is_clean
    charged = {one.metadata[ATTEMPT]: one.true_cost for one in fleet.simulator.charges}
    assumed = [row for row in rows if row["source"] == "assumed_max"]
    assert len(assumed) <= 4  # under way when it was killed, their id not yet noted
    assert charged.keys() <= {row["key"] for row in rows}
    known = [row for row in rows if row not in assumed]
    assert [row for row in known if row["cost"] != charged.get(row["key"], Decimal(0))] == []
    assert all(row["cost"] >= charged.get(row["key"], Decimal(0)) for row in assumed)
