"""Switchyard (lane ledger, durable) beside LiteLLM's proxy (no database), one upstream stub.

`python benchmarks/api/run.py --litellm /path/to/venv/bin/litellm [--seconds 8] [--rounds 2]`
needs wrk. The two take turns, so that a busy machine is unfair to neither. LiteLLM goes into an
environment of its own: `python -m venv V && V/bin/pip install 'litellm[proxy]'`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CONNECTIONS = (1, 8, 32)
CHAT = "/v1/chat/completions"
MODEL = "openai/gpt-4o-mini"
START_TIMEOUT_S = 240.0
LITELLM = {
    "LITELLM_LOG": "ERROR",
    # it starts without a key only when told so; Switchyard on loopback asks for none either
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


@dataclass
class Contender:
    """One gateway: how it is started, where it answers, and what was measured."""

    name: str
    command: list[str]
    environment: dict[str, str]
    port: int
    start_s: float = 0.0
    memory_mb: float = 0.0
    cpu_ms: float = 0.0
    rates: dict[int, list[float]] = field(default_factory=dict)
    latencies_ms: dict[int, list[float]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[int]:
    """Run a process and yield its id."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def ask(url: str) -> int:
    """Ask once and return the status."""
    body = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "Up?"}]}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench"}
    request = urllib.request.Request(url + CHAT, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)


def wait_until_it_answers(url: str) -> None:
    """Ask until there is an answer."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if ask(url) == 200:
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def raise_the_budget(url: str) -> None:
    """Make sure that no budget ends the run."""
    body = {"budget_type": "global", "budget_period": "daily", "budget_amount": "1000000"}
    request = urllib.request.Request(
        url + "/api/routing/budgets",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).close()


def tree_memory_mb(pid: int) -> float:
    """Return the proportional memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1)) / 1024  # type: ignore[union-attr]
    return own + sum(tree_memory_mb(int(child)) for child in children)


def cpu_s(pid: int, folder: Path) -> float:
    """Return the CPU time of a process, its children, and the PostgreSQL that it has started."""
    total = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            home = os.readlink(process / "cwd").startswith(str(folder))
        except OSError:  # gone meanwhile
            continue
        if home or int(process.name) == pid or int(fields[1]) == pid:
            total += sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return total


def load(url: str, connections: int, seconds: int) -> tuple[float, float]:
    """Return requests per second and median latency; raises when anything but 200 came."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(HERE / "chat.lua"), url + CHAT]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        raise RuntimeError(text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))  # type: ignore[union-attr]
    found = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
    assert found is not None
    return rate, float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def contenders(arguments: argparse.Namespace, folder: Path) -> list[Contender]:
    """Return who is measured."""
    upstream = f"http://127.0.0.1:{arguments.port}/v1"
    config = folder / "litellm.yaml"
    parameters = {"model": MODEL, "api_base": upstream, "api_key": "sk-stub"}
    rows = {"model_list": [{"model_name": MODEL, "litellm_params": parameters}]}
    config.write_text(json.dumps(rows))  # JSON is YAML
    switchyard = shutil.which("switchyard", path=str(Path(sys.executable).parent)) or "switchyard"
    ours = Contender(
        "switchyard (ledger)",
        [switchyard, "serve", "--trace", "ledger", "--port", str(arguments.port + 1)],
        {
            "OPENROUTER_BASE_URL": upstream,
            "OPENROUTER_API_KEY": "sk-stub",
            "SWITCHYARD_HOME": str(folder / "home"),
        },
        arguments.port + 1,
    )
    if arguments.litellm is None:
        return [ours]
    port = arguments.port + 2
    command = [arguments.litellm, "--config", str(config), "--port", str(port)]
    theirs = Contender("litellm (no database)", command, LITELLM, port)
    return [ours, theirs]


def measure(arguments: argparse.Namespace) -> None:
    """Start everything, load each in turn, print the table."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        stub = [sys.executable, str(HERE / "stub.py"), str(arguments.port)]
        stack.enter_context(running(stub, {}, folder / "stub.log"))
        stub_url = f"http://127.0.0.1:{arguments.port}"
        wait_until_it_answers(stub_url)
        found, pids = contenders(arguments, folder), []
        for one in found:
            started = time.monotonic()
            log = folder / f"{one.port}.log"
            pids.append(stack.enter_context(running(one.command, one.environment, log)))
            wait_until_it_answers(one.url)
            one.start_s = time.monotonic() - started
            if one is found[0]:
                raise_the_budget(one.url)
            load(one.url, 8, 3)  # warm
        floor = {}
        for connections in CONNECTIONS:
            floor[connections] = load(stub_url, connections, 3)[1]
            for _ in range(arguments.rounds):
                for one, pid in zip(found, pids, strict=True):
                    before = cpu_s(pid, folder / "home" if one is found[0] else folder / "none")
                    rate, latency_ms = load(one.url, connections, arguments.seconds)
                    after = cpu_s(pid, folder / "home" if one is found[0] else folder / "none")
                    if connections == 8:
                        one.cpu_ms = (after - before) * 1000 / (rate * arguments.seconds)
                    one.rates.setdefault(connections, []).append(rate)
                    one.latencies_ms.setdefault(connections, []).append(latency_ms)
        for one, pid in zip(found, pids, strict=True):
            one.memory_mb = tree_memory_mb(pid)
        report(found, floor)


def report(found: list[Contender], floor_ms: dict[int, float]) -> None:
    """Print what was measured; `floor_ms` is the latency of the stub alone."""
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for one in found:
        print(
            f"{one.name}: start {one.start_s:.1f} s, memory {one.memory_mb:.0f} MB,"
            f" {one.cpu_ms:.1f} ms of CPU a request at 8 connections (its database included)"
        )
        for connections in CONNECTIONS:
            rate = statistics.median(one.rates[connections])
            added = statistics.median(one.latencies_ms[connections]) - floor_ms[connections]
            print(f"  {connections:3d} connections: {rate:7.1f} req/s, {added:6.1f} ms added (p50)")
    if len(found) == 2:
        ours, theirs = found
        for c in CONNECTIONS:
            times = statistics.median(ours.rates[c]) / statistics.median(theirs.rates[c])
            print(f"  {c:3d} connections: {times:.1f} times the requests per second")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--litellm", help="the litellm command of its own environment")
    parser.add_argument("--port", type=int, default=18900, help="this one and the next two")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
