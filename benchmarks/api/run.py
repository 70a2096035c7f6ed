"""Switchyard (durable ledger) beside LiteLLM's proxy and Portkey's gateway, one upstream stub.

    python -m benchmarks.api --litellm V/bin/litellm --portkey N --flow

prints a Markdown table. Needs wrk. They take turns, so that a busy machine is unfair to none.
LiteLLM (without a database) goes into an environment of its own: `python -m venv V && V/bin/pip
install 'litellm[proxy]==1.106.2'`; Portkey (no accounting at all) into a folder of its own:
`npm install --prefix N @portkey-ai/gateway`. `--flow` adds lane flow, with its Prefect server,
`--processes 2` lane ledger served by two processes.
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
    headers: dict[str, str] = field(default_factory=dict)
    home: Path | None = None  # of a Switchyard: its PostgreSQL counts as well
    start_s: float = 0.0
    memory_mb: float = 0.0
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)
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


def ask(url: str, more: dict[str, str] | None = None) -> int:
    """Ask once and return the status."""
    body = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "Up?"}]}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench"}
    headers |= more or {}
    request = urllib.request.Request(url + CHAT, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)


def wait_until_it_answers(url: str, headers: dict[str, str] | None = None) -> None:
    """Ask until there is an answer."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if ask(url, headers) == 200:
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


def load(
    url: str, connections: int, seconds: int, headers: dict[str, str] | None = None
) -> tuple[float, float]:
    """Return requests per second and median latency; raises when anything but 200 came."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(HERE / "chat.lua"), url + CHAT]
    told = "\n".join(f"{name}: {value}" for name, value in (headers or {}).items())
    environment = os.environ | {"BENCH_HEADERS": told}
    text = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout
    if "Non-2xx" in text:
        raise RuntimeError(text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))  # type: ignore[union-attr]
    found = re.search(r"50%\s+([\d.]+)(us|ms|s)", text)
    assert found is not None
    return rate, float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def contenders(arguments: argparse.Namespace, folder: Path) -> list[Contender]:
    """Return who is measured, Switchyard's lane ledger first."""
    upstream, first = f"http://127.0.0.1:{arguments.port}/v1", arguments.port + 1
    found = [switchyard("ledger", upstream, first, folder / "ledger")]
    if arguments.litellm is not None:
        found.append(litellm(arguments.litellm, upstream, first + 1, folder))
    if arguments.portkey is not None:
        found.append(portkey(arguments.portkey, upstream, first + 2))
    if arguments.processes is not None:
        home, several = folder / "several", arguments.processes
        found.append(switchyard("ledger", upstream, first + 4, home, processes=several))
    if arguments.flow:
        found.append(switchyard("flow", upstream, first + 3, folder / "flow"))
    return found


def switchyard(lane: str, upstream: str, port: int, home: Path, *, processes: int = 1) -> Contender:
    """Return Switchyard with a home of its own."""
    path = str(Path(sys.executable).parent)
    command = shutil.which("switchyard", path=path) or "switchyard"
    environment = {
        "OPENROUTER_BASE_URL": upstream,
        "OPENROUTER_API_KEY": "sk-stub",
        "SWITCHYARD_HOME": str(home),
    }
    serve = [command, "serve", "--trace", lane, "--port", str(port)]
    serve += ["--processes", str(processes)]
    name = f"Switchyard, lane {lane}" + (f", {processes} processes" if processes > 1 else "")
    return Contender(name, serve, environment, port, home=home)


def litellm(command: str, upstream: str, port: int, folder: Path) -> Contender:
    """Return LiteLLM's proxy with one model."""
    config = folder / "litellm.yaml"
    parameters = {"model": MODEL, "api_base": upstream, "api_key": "sk-stub"}
    rows = {"model_list": [{"model_name": MODEL, "litellm_params": parameters}]}
    config.write_text(json.dumps(rows))  # JSON is YAML
    serve = [command, "--config", str(config), "--port", str(port)]
    return Contender("LiteLLM, no database", serve, LITELLM, port)


def portkey(folder: str, upstream: str, port: int) -> Contender:
    """Return Portkey's gateway; provider and upstream are told in each request's headers."""
    script = Path(folder, "node_modules/@portkey-ai/gateway/build/start-server.js")
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream}
    serve = ["node", str(script), f"--port={port}", "--headless"]
    return Contender("Portkey, no accounting", serve, {}, port, headers)


def measure(arguments: argparse.Namespace) -> None:
    """Start everything, load each in turn, print the table."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        stub = [sys.executable, str(HERE / "stub.py"), str(arguments.port)]
        stack.enter_context(running(stub, {}, folder / "stub.log"))
        stub_url = f"http://127.0.0.1:{arguments.port}"
        wait_until_it_answers(stub_url)
        found = contenders(arguments, folder)
        pids = [started(one, stack, folder) for one in found]
        floor = {c: load(stub_url, c, 3)[1] for c in CONNECTIONS}
        for connections in CONNECTIONS:
            for _ in range(arguments.rounds):
                for one, pid in zip(found, pids, strict=True):
                    take_turn(one, pid, connections, arguments.seconds, folder)
        for one, pid in zip(found, pids, strict=True):
            one.memory_mb = tree_memory_mb(pid)
        report(found, floor)


def started(one: Contender, stack: contextlib.ExitStack, folder: Path) -> int:
    """Start a contender, wait until it answers, warm it up; return its process id."""
    before = time.monotonic()
    pid = stack.enter_context(running(one.command, one.environment, folder / f"{one.port}.log"))
    wait_until_it_answers(one.url, one.headers)
    one.start_s = time.monotonic() - before
    if one.home is not None:
        raise_the_budget(one.url)
    load(one.url, 8, 3, one.headers)
    return pid


def take_turn(one: Contender, pid: int, connections: int, seconds: int, folder: Path) -> None:
    """Load one contender for a while and keep what was measured."""
    home = one.home or folder / "none"
    before = cpu_s(pid, home)
    rate, latency_ms = load(one.url, connections, seconds, one.headers)
    requests = max(1.0, rate * seconds)
    one.cpu_ms.setdefault(connections, []).append((cpu_s(pid, home) - before) * 1000 / requests)
    one.rates.setdefault(connections, []).append(rate)
    one.latencies_ms.setdefault(connections, []).append(latency_ms)


def report(found: list[Contender], floor_ms: dict[int, float]) -> None:
    """Print the Markdown table; `floor_ms` is the latency of the stub alone."""
    ours = found[0]
    print(f"Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, medians of the turns.")
    print("CPU is that of all its processes, Switchyard's PostgreSQL included.\n")
    columns = "| | connections | req/s | times ours | added ms (p50) | CPU ms a request |"
    print(columns + "\n|---|---:|---:|---:|---:|---:|")
    for one in found:
        for c in CONNECTIONS:
            rate, latency_ms, cpu_ms = (
                statistics.median(values[c]) for values in (one.rates, one.latencies_ms, one.cpu_ms)
            )
            # turn by turn: what the machine did meanwhile, it did to both
            pairs = zip(one.rates[c], ours.rates[c], strict=True)
            times = statistics.median(theirs / max(1e-9, mine) for theirs, mine in pairs)
            cells = f"{rate:.1f} | {times:.2f} | {latency_ms - floor_ms[c]:.1f} | {cpu_ms:.1f}"
            print(f"| {one.name} | {c} | {cells} |")
    print("\n| | start s | memory MB |\n|---|---:|---:|")
    for one in found:
        print(f"| {one.name} | {one.start_s:.1f} | {one.memory_mb:.0f} |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api")
    parser.add_argument("--litellm", help="the litellm command of its own environment")
    parser.add_argument("--portkey", help="the folder that npm has installed its gateway in")
    parser.add_argument("--flow", action="store_true", help="lane flow as well")
    parser.add_argument("--processes", type=int, help="lane ledger by so many processes as well")
    parser.add_argument("--port", type=int, default=18900, help="this one and the next five")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    measure(parser.parse_args())
