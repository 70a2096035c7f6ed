"""`switchyard serve --processes 2` as a user runs it, over a database of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from deployments.postgres import PostgresServer
from deployments.simulator import RunningSimulator, SimulatorConfig, running_simulator
from models.api_key import Scope
from tasks.adapters.database import open_database
from tasks.adapters.migrations import upgrade_database
from tasks.adapters.settings import Settings
from tasks.adapters.store.keys import create_key
from tests.cli.conftest import SWITCHYARD, clean_environment
from tests.conftest import settings_for

PATIENCE_S = 60.0
ESTABLISHED = "01"
COMMAND = [SWITCHYARD, "serve", "--port", "0", "--json", "--trace", "ledger", "--processes", "2"]


@dataclass
class Fleet:
    """One running `serve` with its processes."""

    url: str
    process: subprocess.Popen[str]
    settings: Settings
    simulator: RunningSimulator
    log: Path

    @property
    def members(self) -> list[int]:
        """The ids of its processes."""
        return members_of(self.process.pid)

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        """A client with one connection."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=1)
        return httpx.AsyncClient(
            base_url=self.url, headers=headers, limits=limits, timeout=30, trust_env=False
        )

    def served_by(self) -> dict[int, int]:
        """Which process has the connection from which client port."""
        port = httpx.URL(self.url).port
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        by_inode = {
            f"socket:[{fields[9]}]": int(fields[2].partition(":")[2], 16)
            for fields in lines
            if int(fields[1].partition(":")[2], 16) == port and fields[3] == ESTABLISHED
        }
        return {
            by_inode[target]: pid
            for pid in self.members
            for target in _open_files(pid)
            if target in by_inode
        }

    def key(self, name: str, **limits: int) -> str:
        """Make a key with these limits and return its token."""

        async def make() -> str:
            async with open_database(self.settings.database_dsn) as database:
                return (await create_key(database, name, set(Scope), **limits))[1]

        return asyncio.run(make())

    def read(self, query: str) -> list[Any]:
        """Run a statement on its database."""
        with psycopg.connect(self.settings.database_dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def wait_for_members(self, count: int = 2, *, without: int = 0) -> None:
        """Wait until so many processes are handed connections, and that one is none of them."""
        url = httpx.URL(self.url)

        def ready() -> bool:
            with ExitStack() as stack:
                for _ in range(count):
                    stack.enter_context(socket.create_connection((url.host, url.port or 80)))
                time.sleep(0.05)
                serving = set(self.served_by().values())
            return len(serving) == count and without not in serving

        until(ready, "the processes did not come back")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell the parent, and return its exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


def members_of(pid: int) -> list[int]:
    """Return the API processes that are children of this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            is_member = b"deployments.fleet.member" in (path / "cmdline").read_bytes()
        except OSError:
            continue
        if is_member and parent == pid:
            found.append(int(path.name))
    return sorted(found)


def _open_files(pid: int) -> list[str]:
    folder = f"/proc/{pid}/fd"
    found = []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{name}"))
        except OSError:
            continue
    return found


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that another process does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


@contextmanager
def running_fleet(
    postgres: PostgresServer, home: Path, *arguments: str, **environment: str
) -> Iterator[Fleet]:
    """Run it with two processes on a free port."""
    name = f"fleet_{uuid.uuid4().hex}"
    postgres.ensure_database(name)
    upgrade_database(postgres.url(name))
    config = SimulatorConfig(latency_scale=0, charge_log=home / "charges.jsonl")
    with running_simulator(config) as simulator, (home / "log").open("w") as log:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=clean_environment(
                SWITCHYARD_HOME=str(home),
                DATABASE_URL=postgres.url(name),
                SWITCHYARD_SIMULATOR_URL=simulator.url,
                **environment,
            ),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        settings = settings_for(postgres.url(name), simulator.url, home)
        try:
            url = _announced(process, home / "log")
            yield Fleet(url, process, settings, simulator, home / "log")
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=PATIENCE_S)


def _announced(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    text = "".join(process.stdout.readline() for _ in range(3))
    assert text, log.read_text()
    return str(json.loads(text)["url"])


@pytest.fixture(scope="module")
def fleet(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """One fleet for a module whose tests do not disturb each other."""
    with running_fleet(postgres_server, tmp_path_factory.mktemp("fleet")) as running:
        yield running
