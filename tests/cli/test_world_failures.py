"""The world fails: exit 1 (2 for a wrong configuration), a clear line, nothing spent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from deployments.simulator import Fault, FaultRule, SimulatorConfig, running_simulator
from tests.cli.conftest import SWITCHYARD, chat_requests, clean_environment

ROUTE = ("route", "Is the payment service up?", "--trace", "ledger")
KEY = "sk-or-v1-canary-0123456789abcdef"


def test_refused_key_fails_with_one_and_spends_nothing(run, database_url):
    with running_simulator(SimulatorConfig(latency_scale=0, refuse_key=True)) as refusing:
        upstream = {"OPENROUTER_BASE_URL": refusing.url, "OPENROUTER_API_KEY": KEY}
        done = run(*ROUTE, "--json", DATABASE_URL=database_url, **upstream)
        assert (done.code, done.document["status"]) == (1, "failed")
        assert "401" in done.document["reasons"][-1]
        assert refusing.charges == []
    assert KEY not in done.out + done.err
    audit = run("audit", "--json", DATABASE_URL=database_url, **upstream)
    assert (audit.document["spent_usd"], audit.document["held_usd"]) == ("0", "0")


def test_upstream_that_is_not_there_fails_with_one_and_spends_nothing(run, database_url):
    nowhere = f"http://127.0.0.1:{_free_port()}/v1"
    where = {"OPENROUTER_BASE_URL": nowhere, "DATABASE_URL": database_url}
    done = run(*ROUTE, "--json", **where)
    assert (done.code, done.document["status"]) == (1, "failed")
    assert {attempt["cost_usd"] for attempt in done.document["attempts"]} == {"0"}


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid"])
def test_unreachable_database_fails_with_one_and_sends_nothing(run, simulator, host):
    url = f"postgresql://me:secretpw@{host}/db"
    done = run(*ROUTE, DATABASE_URL=url, SWITCHYARD_SIMULATOR_URL=simulator.url)
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert "secretpw" not in done.err
    assert chat_requests(simulator) == 0


def test_asynchronous_commit_is_refused_and_nothing_sent(ready, routing_url, simulator):
    with psycopg.connect(routing_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    done = ready(*ROUTE)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert "synchronous_commit" in done.err
    assert chat_requests(simulator) == 0


def test_real_key_on_a_simulated_database_is_refused_and_the_reverse(
    ready, run, database_url, simulator
):
    upstream = {"OPENROUTER_BASE_URL": simulator.url, "OPENROUTER_API_KEY": KEY}
    done = ready(*ROUTE, **upstream)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "simulated money" in done.err
    assert run("budgets", "list", DATABASE_URL=database_url, **upstream).code == 0
    reverse = run(*ROUTE, DATABASE_URL=database_url, SWITCHYARD_SIMULATOR_URL=simulator.url)
    assert (reverse.code, len(reverse.err.splitlines())) == (2, 1)
    assert "real money" in reverse.err
    assert chat_requests(simulator) == 0


def test_home_that_cannot_be_made_fails_with_one(run, tmp_path):
    (tmp_path / "file").write_text("")
    done = run(*ROUTE, SWITCHYARD_HOME=str(tmp_path / "file" / "home"))
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert "SWITCHYARD_HOME" in done.err


def test_taken_port_fails_with_one(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("simulator", "--port", port)
    assert (done.code, done.out) == (1, "")
    assert f"port {port}" in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
@pytest.mark.parametrize("phase", ["starting", "calling"])
def test_interrupted_command_ends_in_order_and_leaves_no_process(
    simulator, tmp_path, number, code, phase
):
    """While PostgreSQL is being made, and while the upstream hangs with the money held."""
    simulator.add_fault(FaultRule(fault=Fault.HANG))
    home = tmp_path / "home"
    environment = clean_environment(
        SWITCHYARD_HOME=str(home), SWITCHYARD_SIMULATOR_URL=simulator.url
    )
    process = subprocess.Popen([SWITCHYARD, *ROUTE], env=environment, stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process.stderr:
        process.stderr.readline()  # "no running system: starting ..."
        if phase == "calling":
            _wait_until(lambda: simulator.simulator.faults.standings[0].fired > 0)
        process.send_signal(number)
        assert process.wait(60) == code
    _wait_until(lambda: not _processes_of(home))


def test_ctrl_c_pressed_again_while_stopping_still_leaves_no_process(simulator, tmp_path):
    simulator.add_fault(FaultRule(fault=Fault.HANG))
    home = tmp_path / "home"
    environment = clean_environment(
        SWITCHYARD_HOME=str(home), SWITCHYARD_SIMULATOR_URL=simulator.url
    )
    process = subprocess.Popen([SWITCHYARD, *ROUTE], env=environment, stderr=subprocess.DEVNULL)
    _wait_until(lambda: simulator.simulator.faults.standings[0].fired > 0)
    process.send_signal(signal.SIGINT)
    for _ in range(5):
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    _wait_until(lambda: not _processes_of(home))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _processes_of(home: Path) -> list[str]:
    """Command lines of processes that work below the home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in text and int(folder.name) != os.getpid():
            found.append(text)
    return found


def _wait_until(holds, limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
