"""`switchyard up` as a person runs it: one start for most tests, then the ends of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployments.ports import free_port
from deployments.postgres.postmaster import find_postmaster, is_alive

COMMAND = [sys.executable, "-m", "deployments.cli"]
START_LIMIT_S = 400
PATIENCE_S = 120.0
CONFIGURED = (
    "DATABASE_URL",
    "PREFECT_API_URL",
    "OPENROUTER_API_KEY",
    "OPENROUTER_BASE_URL",
    "SWITCHYARD_SIMULATOR_URL",
)


@dataclass
class UpHome:
    """A home for `switchyard up`, and the one that runs in it."""

    path: Path
    process: subprocess.Popen[str] | None = None

    @property
    def up_file(self) -> Path:
        return self.path / "up.json"

    @property
    def log(self) -> str:
        return (self.path / "log" / "up.log").read_text()

    def environment(self) -> dict[str, str]:
        bare = {name: value for name, value in os.environ.items() if name not in CONFIGURED}
        return bare | {"SWITCHYARD_HOME": str(self.path)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
        )

    def start(self) -> dict[str, Any]:
        """Start it and return what it says on stdout when it is ready."""
        with (self.path / "stderr").open("a") as stderr:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--json", "--port", str(free_port())],
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        text = ""
        for line in self.process.stdout:
            text += line
            if line.startswith("}"):
                document: dict[str, Any] = json.loads(text)
                return document
        raise AssertionError((self.path / "stderr").read_text())

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def processes(self) -> list[int]:
        """Every process that was started for this home."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_mine(path)]

    def pid_of(self, *words: str) -> int:
        [pid] = [pid for pid in self.processes() if all(word in _command(pid) for word in words)]
        return pid

    def _is_mine(self, proc: Path) -> bool:
        if int(proc.name) == os.getpid():
            return False
        try:
            text = (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()
        except OSError:
            return False
        return str(self.path).encode() in text and bool(_command(int(proc.name)))


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def until(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.1)


def post(url: str, body: object) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpHome]:
    home = UpHome(tmp_path_factory.mktemp("up home"))
    yield home
    if home.process is not None:
        home.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def running(home: UpHome) -> dict[str, Any]:
    return home.start()


pytestmark = [
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc"),
    pytest.mark.timeout(START_LIMIT_S + 120),
]


def test_up_writes_up_json_for_its_owner_only_when_all_is_ready(
    home: UpHome, running: dict[str, Any]
) -> None:
    document = json.loads(home.up_file.read_text())
    assert home.up_file.stat().st_mode & 0o777 == 0o600
    assert document["pid"] == home.process.pid  # type: ignore[union-attr]
    assert document["prefect_api_url"] == running["prefect_api_url"]
    assert "database_url" not in running


def test_up_serves_the_api_and_the_prefect_ui(running: dict[str, Any]) -> None:
    for url in (running["api_url"] + "/healthz", running["prefect_api_url"].removesuffix("/api")):
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200


def test_prefect_pages_ask_the_port_that_the_server_listens_on(running: dict[str, Any]) -> None:
    api_url = running["prefect_api_url"]
    with urllib.request.urlopen(api_url.removesuffix("api") + "ui-settings", timeout=10) as answer:
        assert json.load(answer)["api_url"] == api_url


def test_prefect_schedules_runs_of_the_deployments_with_a_schedule(
    running: dict[str, Any],
) -> None:
    """With SQLAlchemy 2.1 Prefect 3.8's scheduler fails every time, and only its log says so."""
    wanted = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}

    def scheduled() -> set[str]:
        found = post(f"{running['prefect_api_url']}/flow_runs/filter", wanted)
        return {run["deployment_id"] for run in found}

    until(lambda: len(scheduled()) == 5, "runs are not scheduled")


def test_command_uses_the_running_system_when_there_is_one(
    home: UpHome, running: dict[str, Any]
) -> None:
    done = home.run("route", "Is the payment service up?", "--json")
    assert done.returncode == 0, done.stderr
    assert "no running system" not in done.stderr
    run_id = json.loads(done.stdout)["flow_run_id"]
    found = post(f"{running['prefect_api_url']}/flow_runs/filter", {})
    assert run_id in [run["id"] for run in found]


def trigger(running: dict[str, Any]) -> str:
    """Start a run of the deployment by plain HTTP and return its id."""
    api_url = running["prefect_api_url"]
    by_name = f"{api_url}/deployments/name/route-request/default"
    with urllib.request.urlopen(by_name, timeout=10) as answer:
        deployment_id = json.load(answer)["id"]
    request = {"request": {"prompt": "Is the payment service up?"}}
    created = post(
        f"{api_url}/deployments/{deployment_id}/create_flow_run", {"parameters": request}
    )
    return str(created["id"])


def state_of(running: dict[str, Any], run_id: str) -> str:
    with urllib.request.urlopen(f"{running['prefect_api_url']}/flow_runs/{run_id}") as answer:
        return str(json.load(answer)["state"]["type"])


def test_up_runs_a_deployment_that_was_triggered_by_plain_http(running: dict[str, Any]) -> None:
    run_id = trigger(running)
    until(lambda: state_of(running, run_id) == "COMPLETED", "the run did not complete")


def test_up_refuses_in_one_line_when_it_runs_already(home: UpHome, running: dict[str, Any]) -> None:
    done = home.run("up")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"runs already for {str(home.path)!r}" in done.stderr
    assert home.up_file.exists()


def test_up_restarts_the_worker_when_it_is_killed(home: UpHome, running: dict[str, Any]) -> None:
    killed = home.pid_of("deployments.cli worker")
    os.kill(killed, signal.SIGKILL)
    run_id = trigger(running)
    until(lambda: state_of(running, run_id) == "COMPLETED", "the run did not complete")
    assert home.pid_of("deployments.cli worker") != killed
    assert "WARNING was killed by SIGKILL; restarted" in home.log


def test_up_starts_postgres_again_when_it_is_killed(home: UpHome, running: dict[str, Any]) -> None:
    data = home.path / "postgres" / "data"
    server = find_postmaster(data)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not is_alive(server.pid) and find_postmaster(data), "postgres is not back")
    until(lambda: home.run("costs").returncode == 0, "the database does not answer")


def test_up_leaves_nothing_running_when_it_is_terminated(
    home: UpHome, running: dict[str, Any]
) -> None:
    assert home.end(signal.SIGTERM) == 0, (home.path / "stderr").read_text()
    assert not home.up_file.exists()
    assert home.processes() == []


def test_up_finds_its_state_again_and_leaves_nothing_when_it_is_killed(home: UpHome) -> None:
    running = home.start()
    assert len(post(f"{running['prefect_api_url']}/deployments/filter", {})) >= 7
    assert " deploy " not in home.log.rpartition("stopped after")[2]
    home.end(signal.SIGKILL)
    until(lambda: home.processes() == [], "something is left running")


def test_up_says_which_port_is_taken_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        home = UpHome(tmp_path)
        for option in ("--port", "--prefect-port"):
            done = home.run("up", option, str(port))
            assert done.returncode == 1
            [line] = done.stderr.splitlines()
            assert f"port {port} on 127.0.0.1 cannot be used" in line
    assert home.processes() == []
