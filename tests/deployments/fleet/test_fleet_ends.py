"""How a fleet ends: in order when asked, and with its parent when that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deployments.postgres import PostgresServer
from deployments.simulator import Fault, FaultRule, RunningSimulator
from tests.api.test_api_spans import Collector, collector  # noqa: F401  # a fixture
from tests.cli.conftest import clean_environment
from tests.deployments.fleet.conftest import COMMAND, members_of, running_fleet, until

CHAT = "/v1/chat/completions"
ASK = {"max_tokens": 50, "messages": [{"role": "user", "content": "Is it up?"}]}


def _gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.anyio
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_running_requests_are_answered_before_all_processes_end(
    postgres_server: PostgresServer,
    collector: Collector,  # noqa: F811
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with running_fleet(postgres_server, tmp_path, **endpoint) as fleet:
        members = fleet.members
        fleet.simulator.add_fault(FaultRule(fault=Fault.SLOW_DRIP, seconds=1.5, charged=True))
        clients = [fleet.client() for _ in range(4)]
        work = [asyncio.create_task(client.post(CHAT, json=ASK)) for client in clients]
        await asyncio.sleep(0.7)
        ended = await asyncio.to_thread(fleet.end, number)
        answers = await asyncio.gather(*work)
        for client in clients:
            await client.aclose()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert "Warning" not in fleet.log.read_text()
    assert ended == code
    assert _gone(members)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("metrics-")]
    assert _spans(collector).count(f"POST {CHAT}") == 4  # both processes told what they served
    url = httpx.URL(fleet.url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.host, url.port or 80))


def _spans(collector: Collector) -> list[str]:  # noqa: F811
    return [
        span.name
        for body in collector.bodies
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def test_killed_parent_leaves_no_process_behind(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with running_fleet(postgres_server, tmp_path) as fleet:
        members = fleet.members
        os.kill(fleet.process.pid, signal.SIGKILL)
        fleet.process.wait()
        until(lambda: _gone(members), "processes without a parent go on")
    assert len(members) == 2


@pytest.fixture
def environment(routing_url: str, simulator: RunningSimulator, tmp_path: Path) -> dict[str, str]:
    """What a fleet over the test's own database and simulator is told."""
    return clean_environment(
        SWITCHYARD_HOME=str(tmp_path),
        DATABASE_URL=routing_url,
        SWITCHYARD_SIMULATOR_URL=simulator.url,
    )


def test_fleet_ends_with_a_reason_when_a_process_ends_before_all_were_ready(
    environment: dict[str, str],
) -> None:
    with subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: len(members_of(process.pid)) == 2, "no process was started")
        members = members_of(process.pid)
        os.kill(members[0], signal.SIGKILL)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "was killed by SIGKILL before all were ready" in told
    assert _gone(members)


def test_fleet_off_loopback_asks_for_a_key_in_one_line(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*COMMAND, "--host", "0.0.0.0"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "SWITCHYARD_API_KEY" in done.stderr
