"""`python -m deployments.simulator` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

COMMAND = (sys.executable, "-m", "deployments.simulator")
WAIT_S = 20


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_process_tells_its_url_and_ends_cleanly_on_a_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    ready = tmp_path / "ready.json"
    with started("--ready-file", str(ready), "--latency-scale", "0") as (process, line):
        assert json.loads(ready.read_text()) == line
        assert line["pid"] == process.pid and line["simulated"] is True
        assert httpx.get(f"{line['url']}/models", timeout=10).json()["total_count"] >= 35
        process.send_signal(number)
        _, errors = process.communicate(timeout=WAIT_S)
        assert (process.returncode, errors) == (0, b"")


def test_process_ends_when_a_request_hangs() -> None:
    fault = json.dumps({"fault": "hang"})
    body = b'{"model":"openai/gpt-4o","messages":[{"role":"user","content":"x"}]}'
    head = "POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
    with (
        started("--fault", fault, "--latency-scale", "0") as (process, line),
        socket.create_connection(("127.0.0.1", line["port"])) as hanging,
    ):
        hanging.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        state = f"{line['root_url']}/simulator/state"
        while httpx.get(state, timeout=10).json()["charges"] == 0:
            pass
        process.terminate()
        assert process.wait(WAIT_S) == 0


def test_process_ends_when_its_parent_is_killed() -> None:
    parent_code = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([{sys.executable!r}, '-m', 'deployments.simulator', "
        "'--exit-with-parent'])\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    line = json.loads(parent.stdout.readline())
    parent.kill()
    parent.wait(WAIT_S)
    assert parent.stdout.read() == b""  # returns only when the simulator, too, has closed it
    parent.stdout.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{line['url']}/models", timeout=10)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--rpm", "many"], 2, "not a number"),
        (["--latency-scale", "-1"], 2, "latency scale"),
        (["--fault", '{"fault": "nonsense"}'], 2, "fault refused"),
        (["--charge-log", "/proc/no/such"], 1, "charge log"),
    ],
)
def test_process_refuses_bad_options_with_one_line(
    arguments: list[str], code: int, words: str
) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == code
    assert words in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_process_says_in_one_line_that_its_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, "--port", port], capture_output=True, text=True, timeout=WAIT_S
        )
    assert done.returncode == 1
    assert port in done.stderr and done.stderr.count("\n") == 1


def test_importing_the_simulator_opens_nothing() -> None:
    code = "import deployments.simulator, threading; assert threading.active_count() == 1"
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=WAIT_S)
