"""Kill workers and PostgreSQL under load, and hold the ledger against the charge log.

As a script, the full programme of docs/ledger.md (200 workers, 10 servers killed):

    python tests/chaos/chaos.py --kills 200 --database-kills 10
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import psycopg

from deployments.postgres import PostgresServer, running_postgres
from deployments.preparation import prepared_runtime
from deployments.simulator import Charge, RunningSimulator, SimulatorConfig, running_simulator
from models.budget import BudgetDefinition, BudgetPeriod, BudgetType
from tasks.adapters.ledger import reconcile_unknown
from tasks.adapters.runtime import Runtime, open_runtime
from tasks.adapters.settings import Settings

WORKER = Path(__file__).with_name("chaos_worker.py")
ATTEMPT = "switchyard_attempt"


@dataclass(slots=True)
class Fleet:
    """The workers under test; `start` replaces one that was killed."""

    folder: Path
    environment: dict[str, str]
    size: int
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a worker under its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, str(WORKER), name, str(self.folder / f"{name}.done")],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill_one(self, draw: random.Random) -> None:
        """Kill a random worker with -9 and start its successor."""
        name = draw.choice(sorted(self.workers))
        self.workers[name].kill()
        self.workers[name].wait()
        self.start(name)

    def stop(self) -> None:
        """Kill every worker."""
        for worker in self.workers.values():
            worker.kill()
            worker.wait()

    def finished(self) -> int:
        """Return how many requests have a result."""
        return sum(len(path.read_text().splitlines()) for path in self.folder.glob("*.done"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the chaos left: zero is the only good number of the first three."""

    double_dispatches: int
    invariant_violations: int
    charges_without_row: int
    unexplained_usd: Decimal
    assumed_rows: int
    assumed_excess_usd: Decimal
    finished: int
    charged: int
    audit_is_clean: bool
    first_success_s: tuple[float, ...]


def settings_of(url: str, simulator: RunningSimulator, folder: Path) -> Settings:
    """Return settings for this run; nothing of the caller's environment comes in."""
    return Settings(
        openrouter_api_key=None,
        openrouter_base_url=None,
        database_url=url,
        switchyard_simulator_url=simulator.url,
        switchyard_home=folder,
        switchyard_request_timeout_s=5,
    )


def worker_environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a worker process."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "DATABASE_URL": settings.database_dsn,
        "SWITCHYARD_SIMULATOR_URL": settings.upstream_url,
        "SWITCHYARD_HOME": str(settings.home),
        "SWITCHYARD_REQUEST_TIMEOUT_S": "5",
    }


def run_chaos(
    folder: Path, *, kills: int, database_kills: int, workers: int = 4, pause_s: float = 0.25
) -> Outcome:
    """Kill `kills` workers and `database_kills` servers under load, then settle and compare."""
    draw = random.Random(7)
    config = SimulatorConfig(latency_scale=0.05, charge_log=folder / "charges.jsonl")
    home = folder / "home"
    with running_simulator(config) as simulator, contextlib.ExitStack() as servers:
        server = servers.enter_context(running_postgres(home))
        server.ensure_database("chaos")
        settings = settings_of(server.url("chaos"), simulator, home)
        asyncio.run(_prepare(settings))
        fleet = Fleet(folder, worker_environment(settings), workers)
        violations, recoveries = 0, []
        try:
            for number in range(workers):
                fleet.start(f"w{number}")
            for event in _events(draw, kills, database_kills):
                time.sleep(draw.uniform(0.5, 1.5) * pause_s)
                if event == "database":
                    recoveries.append(_kill_database(server, home, servers, fleet))
                else:
                    fleet.kill_one(draw)
                violations += _violates(settings.database_dsn, simulator)
            _wait_for_progress(fleet)
        finally:
            fleet.stop()
        return asyncio.run(_settle(settings, simulator, fleet, violations, tuple(recoveries)))


def _events(draw: random.Random, kills: int, database_kills: int) -> Iterator[str]:
    events = ["worker"] * kills + ["database"] * database_kills
    draw.shuffle(events)
    yield from events


async def _prepare(settings: Settings) -> None:
    async with prepared_runtime(settings) as opened:
        await opened.ledger.set_budget(
            BudgetDefinition(
                budget_type=BudgetType.GLOBAL,
                budget_period=BudgetPeriod.DAILY,
                budget_amount=Decimal(100),
            )
        )


def _kill_database(
    server: PostgresServer, home: Path, servers: contextlib.ExitStack, fleet: Fleet
) -> float:
    """Kill the postmaster with -9, start it again, return the seconds to the next success."""
    pid = int((server.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
    before = fleet.finished()
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
        time.sleep(0.01)
    servers.enter_context(running_postgres(home))
    while fleet.finished() == before and time.monotonic() - started < 60:
        time.sleep(0.02)
    return time.monotonic() - started


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _violates(url: str, simulator: RunningSimulator) -> int:
    """Return 1 when the ledger covers less than what the upstream had charged before."""
    charged = _charged_usd(simulator)
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT coalesce(sum(spent_amount + reserved_amount), 0) FROM cost_budgets"
                " WHERE budget_type = 'global'"
            ).fetchone()
    except psycopg.OperationalError:
        return 0  # just killed: asked again after the next kill
    return int(row is None or row[0] < charged)


def _charged_usd(simulator: RunningSimulator) -> Decimal:
    return sum((charge.true_cost for charge in simulator.charges), Decimal(0))


def _wait_for_progress(fleet: Fleet) -> None:
    """Let the survivors finish at least one request each, so that the end is a living system."""
    wanted, deadline = fleet.finished() + fleet.size, time.monotonic() + 60
    while fleet.finished() < wanted and time.monotonic() < deadline:
        time.sleep(0.05)


async def _settle(
    settings: Settings,
    simulator: RunningSimulator,
    fleet: Fleet,
    violations: int,
    recoveries: tuple[float, ...],
) -> Outcome:
    """End every lease, reconcile what is unknown, and compare row by row with the charge log."""
    async with open_runtime(settings) as opened:
        await opened.database.execute(
            "UPDATE model_selections SET lease_expires_at = now() - interval '1 second'"
            " WHERE state IN ('RESERVED', 'SENT')"
        )
        while (await opened.ledger.sweep()).unknown:
            pass
        for _ in range(200):
            await opened.database.execute(
                "UPDATE model_selections SET reconcile_after = now() WHERE state = 'UNKNOWN'"
            )
            await reconcile_unknown(opened.ledger, opened.upstream, patience_s=0)
            if not await _unknown_rows(opened):
                break
        return await _compared(opened, simulator.charges, fleet, violations, recoveries)


async def _unknown_rows(opened: Runtime) -> int:
    row = await opened.database.fetch_one(
        "SELECT count(*) AS rows FROM model_selections WHERE settled_at IS NULL"
    )
    return 0 if row is None else int(row["rows"])


async def _compared(
    opened: Runtime,
    charges: list[Charge],
    fleet: Fleet,
    violations: int,
    recoveries: tuple[float, ...],
) -> Outcome:
    rows = await opened.database.fetch_all(
        "SELECT idempotency_key AS key, coalesce(actual_cost, 0) AS cost, settle_source AS source"
        " FROM model_selections"
    )
    audit = await opened.ledger.audit()
    charged = {charge.metadata[ATTEMPT]: charge.true_cost for charge in charges}
    times = Counter(charge.metadata[ATTEMPT] for charge in charges)
    booked = {row["key"]: row for row in rows}
    differences = {key: row["cost"] - charged.get(key, Decimal(0)) for key, row in booked.items()}
    assumed = [key for key, row in booked.items() if row["source"] == "assumed_max"]
    return Outcome(
        double_dispatches=sum(count - 1 for count in times.values()),
        invariant_violations=violations,
        charges_without_row=len(charged.keys() - booked.keys()),
        unexplained_usd=sum(
            (abs(usd) for key, usd in differences.items() if key not in set(assumed)), Decimal(0)
        ),
        assumed_rows=len(assumed),
        assumed_excess_usd=sum((differences[key] for key in assumed), Decimal(0)),
        finished=fleet.finished(),
        charged=len(charges),
        audit_is_clean=audit.is_clean,
        first_success_s=recoveries,
    )


def main() -> None:
    """Run the full programme and print what it found; exit 1 when a guarantee was broken."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--kills", type=int, default=200)
    line.add_argument("--database-kills", type=int, default=10)
    line.add_argument("--workers", type=int, default=4)
    line.add_argument("--pause-s", type=float, default=0.25)
    options = line.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        outcome = run_chaos(
            Path(folder),
            kills=options.kills,
            database_kills=options.database_kills,
            workers=options.workers,
            pause_s=options.pause_s,
        )
    for name in Outcome.__slots__:
        sys.stdout.write(f"{name:22} {getattr(outcome, name)}\n")
    broken = (
        outcome.double_dispatches
        or outcome.invariant_violations
        or outcome.charges_without_row
        or outcome.unexplained_usd
        or not outcome.audit_is_clean
    )
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
