"""Pairs of reserve and settle a second on one hot row, as a share of what pgbench does there.

`python -m benchmarks.ledger.throughput [--seconds S] [--repeats N] [--connections 1 16 64]`
Each repeat is ABA: the floor, the ledger, the floor again; printed is the median of the ratios. The
floor is pgbench, prepared, with two autocommit UPDATEs of one row: no entry, no check, no key.
Then the time of one pair is taken apart: the same functions called by pgbench (no Python), and the
floor's two UPDATEs through psycopg (only Python). Beside it: pairs with the fence (`mark_sent`, a
third commit), and pairs gathered as a batch's are (fence included, a statement for many).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import psycopg

from benchmarks.ledger.mutants import install
from benchmarks.ledger.mutations import MUTATIONS
from deployments.postgres import pgbench_path, running_postgres
from models.attempt import Bill, Hold, Reserved
from tasks.adapters.batches.ledger import GatheringLedger
from tasks.adapters.database import Database, open_database
from tasks.adapters.ledger import Ledger
from tasks.adapters.migrations import upgrade_database

COST = Decimal("0.0004")
PROCESSES = 4
FLOOR_STATEMENTS = (
    "UPDATE floor_row SET reserved = reserved + 0.0004 WHERE id = 1",
    "UPDATE floor_row SET reserved = reserved - 0.0004, spent = spent + 0.0004 WHERE id = 1",
)
FLOOR = ";\n".join(FLOOR_STATEMENTS) + ";\n"
FUNCTIONS = """
SELECT selection_id AS entry FROM ledger.reserve(
    gen_random_uuid()::text, 'h', gen_random_uuid(), 1, gen_random_uuid(), 'bench', 'm', 'p',
    'normal', 0.0004, 0.0004, NULL, NULL, 'w', NULL, NULL, false, interval '1 minute') \\gset
SELECT answer FROM ledger.settle(:entry, 0.0004, 'usage', 'ok', NULL, NULL, NULL, NULL, 10, 10,
    0, 0, 100, NULL, NULL, NULL);
"""
# The fence between the two is a third commit, which the floor has no match for: measured apart. So
# that a pair without it can be settled, the functions of this database take an unsent entry.
UNFENCED = next(m for m in MUTATIONS if m.name == "unsent row is settled")


def main() -> None:
    """Print one line a number of connections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, running_postgres(Path(home)) as server:
        server.ensure_database("bench")
        url = server.url("bench")
        upgrade_database(url)
        _prepare(url)
        print(
            "conns  floor/s  ledger/s  ratio [min-max]  functions  psycopg-floor  with send"
            "  gathered"
        )
        for connections in options.connections:
            _measure(url, connections, options.seconds, options.repeats)


def _prepare(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE floor_row (id int PRIMARY KEY, spent numeric(20,12) DEFAULT 0,"
            " reserved numeric(20,12) DEFAULT 0) WITH (fillfactor = 40)"
        )
        connection.execute("INSERT INTO floor_row (id) VALUES (1)")
        connection.execute("UPDATE budget_definitions SET budget_amount = 9999999")
    install(url, UNFENCED)


def _measure(url: str, connections: int, seconds: int, repeats: int) -> None:
    variants: dict[str, Callable[[], float]] = {
        "ledger": lambda: _python(url, "ledger", connections, seconds),
        "functions": lambda: _pgbench(url, FUNCTIONS, connections, seconds),
        "psycopg-floor": lambda: _python(url, "floor", connections, seconds),
        "with-send": lambda: _python(url, "ledger-with-send", connections, seconds),
        "gathered": lambda: _python(url, "gathered", connections, seconds),
    }
    ratios: dict[str, list[float]] = {name: [] for name in variants}
    floors, pairs = [], []
    for _ in range(repeats):
        before = _pgbench(url, FLOOR, connections, seconds)
        for name, variant in variants.items():
            rate = variant()
            after = _pgbench(url, FLOOR, connections, seconds)
            ratios[name].append(2 * rate / (before + after))
            floors.append(after)
            pairs += [rate] if name == "ledger" else []
            before = after
    shares = {name: statistics.median(found) for name, found in ratios.items()}
    print(
        f"{connections:5}  {statistics.median(floors):7.0f}  {statistics.median(pairs):8.0f}"
        f"  {shares['ledger']:5.2f} [{min(ratios['ledger']):.2f}-{max(ratios['ledger']):.2f}]"
        f"  {shares['functions']:9.2f}  {shares['psycopg-floor']:13.2f}"
        f"  {shares['with-send']:9.2f}  {shares['gathered']:8.2f}",
        flush=True,
    )


def _pgbench(url: str, script: str, connections: int, seconds: int) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [str(pgbench_path()), "-n", "-M", "prepared", "-f", file.name]
        command += ["-c", str(connections), "-j", "2", "-T", str(seconds), url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None:
        raise SystemExit(done.stdout + done.stderr)
    return float(found.group(1))


def _python(url: str, what: str, connections: int, seconds: int) -> float:
    """Run `connections` callers in up to four processes; return pairs a second."""
    processes = min(PROCESSES, connections)
    share = connections // processes
    code = f"from benchmarks.ledger.throughput import run; run({what!r}, {share}, {seconds})"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "BENCH_URL": url},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    return sum(float(process.communicate()[0]) for process in started)


def run(what: str, connections: int, seconds: int) -> None:
    """Measure in this process, and print pairs a second."""
    print(asyncio.run(_run(what, connections, seconds)))


async def _run(what: str, connections: int, seconds: int) -> float:
    async with open_database(os.environ["BENCH_URL"], pool_max=connections) as database:
        pair = {"floor": _floor_pair, "ledger-with-send": _pair_with_send}.get(what, _pair)
        ledger = Ledger(database)
        if what == "gathered":
            ledger = GatheringLedger(database, sent_lease_s=60, crowd=lambda: connections)
        await asyncio.gather(*(pair(database, ledger) for _ in range(connections)))
        began = time.monotonic()
        until = began + seconds

        async def loop() -> int:
            done = 0
            while time.monotonic() < until:
                await pair(database, ledger)
                done += 1
            return done

        done = sum(await asyncio.gather(*(loop() for _ in range(connections))))
        return done / (time.monotonic() - began)


async def _pair(_: Database, ledger: Ledger, *, sends: bool = False) -> None:
    decision_id = uuid.uuid4()
    hold = Hold(
        key=f"{decision_id}/1",
        request_hash="h",
        decision_id=decision_id,
        attempt_no=1,
        token=uuid.uuid4(),
        owner="bench",
        model_id="m",
        provider="p",
        policy="normal",
        worst_case_usd=COST,
        elastic_usd=COST,
        task_cap_usd=None,
        worker_id="w",
    )
    row = await ledger.reserve(hold)
    if not isinstance(row, Reserved):
        raise SystemExit(f"not admitted: {row}")
    if sends:
        await ledger.mark_sent(row.selection_id, hold.token, 60)
    bill = Bill(COST, "usage", "ok", prompt_tokens=10, completion_tokens=10, latency_ms=100)
    settlement = await ledger.settle(row.selection_id, bill)
    if settlement.state != "settled":
        raise SystemExit(f"not settled: {settlement}")


async def _pair_with_send(database: Database, ledger: Ledger) -> None:
    await _pair(database, ledger, sends=True)


async def _floor_pair(database: Database, _: Ledger) -> None:
    for statement in FLOOR_STATEMENTS:
        await database.execute(statement)


if __name__ == "__main__":
    main()
