from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.ledger.machine import LedgerMachine
from benchmarks.ledger.model import Connection

EXAMPLES = int(os.environ.get("SWITCHYARD_LEDGER_EXAMPLES", "60"))
STEPS = int(os.environ.get("SWITCHYARD_LEDGER_STEPS", "30"))


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    opened = Connection(database_url)
    yield opened
    opened.close()


@pytest.mark.timeout(3600)
def test_ledger_does_what_its_model_says_whatever_the_order(connection: Connection) -> None:
    machine = type("Machine", (LedgerMachine,), {"connection": connection})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=EXAMPLES == 60,
            suppress_health_check=list(HealthCheck),
        ),
    )
