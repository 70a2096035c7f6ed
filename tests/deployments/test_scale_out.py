"""compose.yaml's set-up on one machine: Redis, two Prefect API servers, two workers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.cli.main import switchyard
from deployments.ports import free_port
from deployments.postgres import PostgresServer
from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator

COMPOSE = Path(__file__).parents[2] / "compose.yaml"
PATIENCE_S = 300.0
needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None or find_spec("prefect_redis") is None,
    reason="SCALE-OUT NOT TESTED: needs redis-server (apt-get install redis-server), prefect-redis",
)


def document() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return parsed


def test_compose_runs_only_commands_that_exist() -> None:
    commands = [service.get("command", [""]) for service in document()["services"].values()]
    ours = {command[1] for command in commands if command[0] == "switchyard"}
    assert ours == {"deploy", "worker", "serve"}
    assert ours <= set(switchyard.commands)


def post(url: str, body: object) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.2)


@dataclass
class Cluster:
    """Two API servers, by port, and what runs on them."""

    folder: Path
    environment: dict[str, str]
    simulator: RunningSimulator
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def api(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number]}/api"

    def start(self, name: str, *arguments: str, server: int | None = None) -> None:
        environment = self.environment.copy()
        if server is not None:
            environment["PREFECT_API_URL"] = self.api(server)
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "deployments.child", *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def finish(self, name: str) -> None:
        code = self.processes[name].wait(PATIENCE_S)
        assert code == 0, (self.folder / f"{name}.log").read_text()[-2000:]

    def until_healthy(self, number: int) -> None:
        def healthy() -> bool:
            with contextlib.suppress(OSError):
                return get(f"{self.api(number)}/health") is True
            return False

        until(healthy, f"server {number} is not healthy")

    def trigger(self, prompts: list[str], server: int) -> list[str]:
        api = self.api(server)
        deployment = get(f"{api}/deployments/name/route-request/default")
        url = f"{api}/deployments/{deployment['id']}/create_flow_run"
        return [post(url, {"parameters": {"request": {"prompt": p}}})["id"] for p in prompts]

    def until_completed(self, runs: list[str], server: int) -> None:
        wanted = {"flow_runs": {"id": {"any_": runs}}}

        def completed() -> bool:
            found = post(f"{self.api(server)}/flow_runs/filter", wanted)
            states = Counter(run["state_type"] for run in found)
            assert not states["FAILED"] + states["CRASHED"], found
            return states["COMPLETED"] == len(runs)

        until(completed, "not all runs completed")

    def claimants(self, runs: list[str], server: int) -> Counter[str]:
        """Count the runs by the name of the worker that claimed them."""
        found: Counter[str] = Counter()
        for run in runs:
            states = get(f"{self.api(server)}/flow_run_states/?flow_run_id={run}")
            [claim] = [s for s in states if (s["message"] or "").startswith("claimed by worker ")]
            found[claim["message"].split()[3]] += 1
        return found

    def stop(self) -> None:
        for name in reversed(self.processes):  # workers before the servers
            process = self.processes[name]
            if process.poll() is None:
                process.terminate()
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def server_environment(postgres: PostgresServer, redis_port: int) -> dict[str, str]:
    """compose.yaml's own settings, its host names replaced by this machine's addresses."""
    database = f"prefect_{uuid.uuid4().hex}"
    postgres.ensure_database(database)
    settings = {name: str(value) for name, value in document()["x-prefect-server"].items()}
    return settings | {
        "PREFECT_API_DATABASE_CONNECTION_URL": postgres.url(database, driver="asyncpg"),
        "PREFECT_REDIS_MESSAGING_HOST": "127.0.0.1",
        "PREFECT_REDIS_MESSAGING_PORT": str(redis_port),
        "PREFECT_SERVER_DOCKET_URL": settings["PREFECT_SERVER_DOCKET_URL"].replace(
            "redis:6379", f"127.0.0.1:{redis_port}"
        ),
    }


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[int]:
    port = free_port()
    arguments = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen([*arguments, "--dir", str(folder)], stdout=subprocess.DEVNULL) as redis:
        try:
            yield port
        finally:
            redis.terminate()


@pytest.fixture(scope="module")
def cluster(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("scale out")
    ledger = f"ledger_{uuid.uuid4().hex}"
    postgres_server.ensure_database(ledger)
    config = SimulatorConfig(latency_scale=0, charge_log=folder / "charges.jsonl")
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_redis(folder))
        simulator = stack.enter_context(running_simulator(config))
        environment = dict(os.environ) | server_environment(postgres_server, redis_port)
        environment |= {
            "DATABASE_URL": postgres_server.url(ledger),
            "SWITCHYARD_SIMULATOR_URL": simulator.url,
            "SWITCHYARD_HOME": str(folder),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        }
        environment.pop("PREFECT_API_URL", None)
        cluster = Cluster(folder, environment, simulator)
        stack.callback(cluster.stop)
        start_all(cluster)
        yield cluster


def start_all(cluster: Cluster) -> None:
    cluster.start("database", "prefect", "server", "database", "upgrade", "-y")
    cluster.finish("database")
    for number, port in enumerate(cluster.ports):
        serve = ("prefect", "server", "start", "--port", str(port), "--no-services")
        cluster.start(f"server{number}", *serve)
        # Two that start on an empty database at once both register Prefect's block types, and one
        # of them ends: compose.yaml starts it again.
        cluster.until_healthy(number)
    cluster.start("services", "prefect", "server", "services", "start")
    cluster.start("deploy", "deployments.cli", "deploy", server=0)
    cluster.finish("deploy")
    for number in (0, 1):
        name = f"worker{number}"
        cluster.start(
            name, "deployments.cli", "worker", "--name", name, "--limit", "4", server=number
        )
    url = f"{cluster.api(0)}/work_pools/switchyard/workers/filter"
    until(lambda: len(post(url, {})) == 2, "the workers are not there")


@needs_redis
@pytest.mark.timeout(1200)
def test_two_workers_on_two_servers_share_the_runs_and_pay_each_once(cluster: Cluster) -> None:
    prompts = [f"Is service {number} up?" for number in range(24)]
    runs = cluster.trigger(prompts[:12], server=0) + cluster.trigger(prompts[12:], server=1)
    cluster.until_completed(runs, server=0)
    claimed = cluster.claimants(runs, server=1)
    assert set(claimed) == {"worker0", "worker1"}
    assert sum(claimed.values()) == len(prompts)
    assert len(cluster.simulator.charges) == len(prompts)


@needs_redis
@pytest.mark.timeout(1200)
def test_runs_go_on_when_one_of_two_servers_is_killed(cluster: Cluster) -> None:
    paid_before = len(cluster.simulator.charges)
    cluster.processes["server0"].send_signal(signal.SIGKILL)
    runs = cluster.trigger([f"Is machine {number} up?" for number in range(6)], server=1)
    cluster.until_completed(runs, server=1)
    assert len(cluster.simulator.charges) == paid_before + len(runs)
