"""Ask the API thousands of times of an upstream that fails now and then, and compare the books.

As a script, the full programme (10,000 requests in lane ledger, 300 in lane flow):

    python tests/soak/soak.py --ledger 10000 --flow 300
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import httpx
from pydantic import SecretStr

from deployments.postgres import PostgresServer, running_postgres
from deployments.preparation import prepared_runtime
from deployments.simulator import (
    Fault,
    FaultRule,
    RunningSimulator,
    SimulatorConfig,
    running_simulator,
)
from tasks.adapters.ledger import reconcile_unknown
from tasks.adapters.runtime import Runtime
from tasks.adapters.settings import Settings

FAULT_SHARE = 0.05
FAULTS = (
    Fault.UNAVAILABLE,
    Fault.OVERLOADED,
    Fault.ERROR_IN_200,
    Fault.EMPTY_ANSWER,
    Fault.CUT,
    Fault.MALFORMED_JSON,
    Fault.COST_MULTIPLIED,
    Fault.NO_USAGE,
    Fault.BAD_GATEWAY,
    Fault.BYOK,
)
POLICIES = ("auto", "policy:normal", "policy:code", "policy:ops")
ATTEMPT = "switchyard_attempt"
START_S = 180.0
STOP_S = 40.0  # requests end, Prefect gets its events, its server stops


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak came to; `memory_mb` is the API's at equal steps, the first after warming up."""

    statuses: dict[int, int]
    unanswered: int
    faults: int
    charges_without_row: int
    difference_usd: Decimal
    assumed_rows: int
    audit_is_clean: bool
    memory_mb: tuple[float, ...]
    requests_per_second: float


def run_soak(
    folder: Path, *, ledger: int, flow: int, concurrency: int = 16, steps: int = 10
) -> Soaked:
    """Run the API as a process of its own under load, then compare every row with its charge."""
    simulator_config = SimulatorConfig(latency_scale=0, charge_log=folder / "charges.jsonl")
    with (
        running_simulator(simulator_config) as simulator,
        running_postgres(folder / "home") as postgres,
        running_api(folder, simulator, postgres, lane="flow" if flow else "ledger") as (url, pid),
    ):
        load = Load(url, pid, simulator, concurrency)
        asyncio.run(load.run(ledger, flow, steps))
        settings = _settings(folder, simulator, postgres)
        return asyncio.run(_compared(settings, simulator, load))


def _settings(folder: Path, simulator: RunningSimulator, postgres: PostgresServer) -> Settings:
    return Settings(
        openrouter_api_key=None,
        openrouter_base_url=None,
        prefect_api_url=None,
        database_url=SecretStr(_database_url(postgres)),
        switchyard_simulator_url=simulator.url,
        switchyard_home=folder / "home",
    )


def _database_url(postgres: PostgresServer) -> str:
    postgres.ensure_database("soak")
    return postgres.url("soak")


@contextlib.contextmanager
def running_api(
    folder: Path, simulator: RunningSimulator, postgres: PostgresServer, *, lane: str
) -> Iterator[tuple[str, int]]:
    """Run `switchyard serve`; yield its URL and process id."""
    environment = os.environ | {
        "SWITCHYARD_HOME": str(folder / "home"),
        "SWITCHYARD_SIMULATOR_URL": simulator.url,
        "DATABASE_URL": _database_url(postgres),
        "SWITCHYARD_API_KEY": "",
        "OPENROUTER_API_KEY": "",
        "OPENROUTER_BASE_URL": "",
    }
    command = [str(Path(sys.executable).parent / "switchyard"), "serve", "--port", "0"]
    log = folder / "api.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--trace", lane], env=environment, stdout=output, stderr=output
        )
    try:
        yield _announced(log, process), process.pid
    finally:
        process.terminate()
        process.wait(STOP_S)


def _announced(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Return the URL that the process says it answers at."""
    words, deadline = "Switchyard answers at ", time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text()
        if words in text:
            return text.partition(words)[2].split()[0]
        time.sleep(0.1)
    raise RuntimeError(f"the API did not start: {log.read_text()}")


class Load:
    """Requests of several policies and workers, a part of them streamed."""

    def __init__(self, url: str, pid: int, simulator: RunningSimulator, concurrency: int) -> None:
        self._url, self._pid, self._simulator = url, pid, simulator
        self._concurrency = concurrency
        self._next = 0
        self.statuses: Counter[int] = Counter()
        self.unanswered = self.faults = 0
        self.memory_mb: list[float] = []
        self.seconds = 0.0

    async def run(self, ledger: int, flow: int, steps: int) -> None:
        """Send everything; the first step warms up and ends with the first look at memory."""
        limits = httpx.Limits(max_connections=self._concurrency)
        async with httpx.AsyncClient(
            base_url=self._url, timeout=120, trust_env=False, limits=limits
        ) as client:
            budget = {"budget_type": "global", "budget_period": "daily", "budget_amount": "1000000"}
            (await client.put("/api/routing/budgets", json=budget)).raise_for_status()
            for fault in FAULTS:
                rule = FaultRule(fault=fault, probability=FAULT_SHARE / len(FAULTS))
                self._simulator.add_fault(rule)
            started = time.monotonic()
            for trace, requests in (("ledger", ledger), ("flow", flow)):
                for step in range(steps if requests else 0):
                    count = requests * (step + 1) // steps - requests * step // steps
                    await self._step(client, trace, count)
                    self.memory_mb.append(rss_mb(self._pid))
            self.seconds = time.monotonic() - started
        self.faults = sum(one.fired for one in self._simulator.simulator.faults.standings)
        self._simulator.clear_faults()

    async def _step(self, client: httpx.AsyncClient, trace: str, count: int) -> None:
        left = iter(range(count))

        async def one_after_the_other() -> None:
            for _ in left:
                await self._ask(client, trace)

        await asyncio.gather(*(one_after_the_other() for _ in range(self._concurrency)))

    async def _ask(self, client: httpx.AsyncClient, trace: str) -> None:
        self._next += 1
        number = self._next
        body = {
            "model": POLICIES[number % len(POLICIES)],
            "max_tokens": 200,
            "stream": number % 10 == 0,
            "messages": [{"role": "user", "content": f"Is service {number} up? Say why."}],
            "metadata": {"worker": f"w{number % 5}", "trace": trace},
        }
        try:
            answer = await client.post("/v1/chat/completions", json=body)
        except httpx.HTTPError:
            self.unanswered += 1
        else:
            whole = answer.text.rstrip().endswith("[DONE]" if body["stream"] else "}")
            self.statuses[answer.status_code] += 1
            self.unanswered += not (whole or answer.status_code != 200)


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


async def _compared(settings: Settings, simulator: RunningSimulator, load: Load) -> Soaked:
    async with prepared_runtime(settings) as opened:
        await _ask_for_lost_bills(opened)
        rows = await opened.database.fetch_all(
            "SELECT idempotency_key AS key, actual_cost AS cost, settle_source AS source"
            " FROM model_selections"
        )
        audit = await opened.ledger.audit()
    charged = {charge.metadata[ATTEMPT]: charge.true_cost for charge in simulator.charges}
    known = [row for row in rows if row["source"] != "assumed_max"]
    differences = (abs(row["cost"] - charged.get(row["key"], Decimal(0))) for row in known)
    return Soaked(
        statuses=dict(load.statuses),
        unanswered=load.unanswered,
        faults=load.faults,
        charges_without_row=len(charged.keys() - {row["key"] for row in rows}),
        difference_usd=sum(differences, Decimal(0)),
        assumed_rows=len(rows) - len(known),
        audit_is_clean=audit.is_clean,
        memory_mb=tuple(load.memory_mb),
        requests_per_second=sum(load.statuses.values()) / load.seconds,
    )


async def _ask_for_lost_bills(opened: Runtime) -> None:
    """Ask until no bill is open, as the sweep does in its time; what cannot be told is assumed."""
    for _ in range(200):
        await opened.database.execute(
            "UPDATE model_selections SET reconcile_after = now() WHERE state = 'UNKNOWN'"
        )
        await reconcile_unknown(opened.ledger, opened.upstream, patience_s=0)
        row = await opened.database.fetch_one(
            "SELECT count(*) AS open FROM model_selections WHERE settled_at IS NULL"
        )
        if row is None or row["open"] == 0:
            return


def main() -> None:
    """Run the full programme and print what it came to; exit 1 when a promise was broken."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--ledger", type=int, default=10_000)
    line.add_argument("--flow", type=int, default=300)
    line.add_argument("--concurrency", type=int, default=16)
    options = line.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soaked = run_soak(
            Path(folder),
            ledger=options.ledger,
            flow=options.flow,
            concurrency=options.concurrency,
        )
    for name in Soaked.__slots__:
        sys.stdout.write(f"{name:22} {getattr(soaked, name)}\n")
    sys.exit(1 if broken_promise(soaked) else 0)


def broken_promise(soaked: Soaked) -> str | None:
    """Return the first promise that was not kept; None when all were."""
    if soaked.unanswered or soaked.statuses.get(500):
        return "a request was not answered"
    if soaked.charges_without_row or soaked.difference_usd or not soaked.audit_is_clean:
        return "the ledger is not the charge log"
    return None


if __name__ == "__main__":
    main()
