"""Breaks the ledger's SQL in many ways, one at a time, and counts how many the model notices.

`python -m benchmarks.ledger.mutants [--examples N] [NAME ...]` prints a table; exit 1 below 95 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from psycopg import sql

from benchmarks.ledger.machine import LedgerMachine
from benchmarks.ledger.model import Connection
from benchmarks.ledger.mutations import MUTATIONS, Mutation
from deployments.postgres import running_postgres
from tasks.adapters.migrations import MIGRATIONS, upgrade_database

KILLED_SHARE_MIN = 0.95


def main() -> int:
    """Run every mutant, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.names or m.name in options.names]
    with (
        tempfile.TemporaryDirectory() as home,
        running_postgres(Path(home)) as server,
    ):
        server.ensure_database("mutants")
        url = server.url("mutants")
        upgrade_database(url)
        if survives(url, None, options.examples) is not None:
            print("the ledger itself fails its model: nothing to measure")
            return 1
        killed = sum(_report(url, mutation, options.examples) for mutation in chosen)
    share = killed / len(chosen)
    print(f"\n{killed} of {len(chosen)} mutants killed ({share:.0%})")
    return 0 if share >= KILLED_SHARE_MIN else 1


def survives(url: str, mutation: Mutation | None, examples: int) -> str | None:
    """Return how the mutant was noticed, None where it was not. Leaves the ledger whole."""
    install(url, mutation)
    try:
        return _noticed(url, examples)
    finally:
        install(url, None)


def install(url: str, mutation: Mutation | None) -> None:
    """Put the ledger's functions into the database, one of them broken."""
    with psycopg.connect(url) as connection:
        comment = connection.execute(
            "SELECT obj_description('ledger'::regnamespace, 'pg_namespace')"
        ).fetchone()
        connection.execute("DROP SCHEMA ledger CASCADE; CREATE SCHEMA ledger")
        for path in sorted((MIGRATIONS / "sql").glob("*.sql")):
            source = path.read_text(encoding="utf-8")
            if mutation is not None and path.name == mutation.file:
                source = mutation.applied(source)
            connection.execute(source.encode())
        digest = comment[0] if comment else None
        connection.execute(sql.SQL("COMMENT ON SCHEMA ledger IS {}").format(sql.Literal(digest)))


def _noticed(url: str, examples: int) -> str | None:
    opened = Connection(url)
    machine = type("Machine", (LedgerMachine,), {"connection": opened})
    try:
        run_state_machine_as_test(machine, settings=_settings(examples))
    except Exception as error:  # whatever the mutant broke, it was noticed
        return type(error).__name__
    finally:
        opened.close()
    return None


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def _report(url: str, mutation: Mutation, examples: int) -> bool:
    started = time.monotonic()
    notice = survives(url, mutation, examples)
    verdict = f"killed ({notice})" if notice else "SURVIVED"
    print(f"{mutation.name:42} {verdict:30} {time.monotonic() - started:5.1f} s", flush=True)
    return notice is not None


if __name__ == "__main__":
    sys.exit(main())
