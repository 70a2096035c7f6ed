"""A batch killed with -9 at half: on the next start nothing settled is paid again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deployments.simulator import RunningSimulator
from tasks.adapters.settings import Settings

LINES, DISTINCT, CONCURRENCY = 500, 350, 8


def batch_file(path: Path) -> Path:
    """500 lines, 30 % of them duplicates, in a mixed order."""
    numbers = [(number * 11) % DISTINCT for number in range(LINES)]
    lines = [
        json.dumps({"prompt": f"Is service {number} up?", "task_type": "simple_query"})
        for number in numbers
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def started(source: Path, out: Path, settings: Settings) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "DATABASE_URL": settings.database_dsn,
        "SWITCHYARD_SIMULATOR_URL": str(settings.switchyard_simulator_url),
        "SWITCHYARD_HOME": str(settings.home),
    }
    for name in ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "deployments.cli", "batch", str(source), "--out", str(out)]
    command += ["--trace", "ledger", "--concurrency", str(CONCURRENCY), "--json"]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def whole_lines(out: Path) -> list[dict[str, Any]]:
    texts = out.read_bytes().splitlines(keepends=True) if out.exists() else []
    return [json.loads(text) for text in texts if text.endswith(b"\n")]


def kill_at_half(process: subprocess.Popen[bytes], out: Path) -> None:
    deadline = time.monotonic() + 120
    while len(whole_lines(out)) < LINES // 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.timeout(300)
def test_killed_batch_goes_on_without_paying_twice(
    settings: Settings, simulator: RunningSimulator, tmp_path: Path
) -> None:
    source, out = batch_file(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    kill_at_half(started(source, out, settings), out)
    with psycopg.connect(settings.database_dsn) as connection:
        settled_then = _settled(connection)
    second = started(source, out, settings)
    told, problems = second.communicate(timeout=200)
    assert second.returncode == 0, problems
    assert json.loads(told)["by_status"] == {"completed": LINES}

    documents = whole_lines(out)
    assert sorted(document["line"] for document in documents) == list(range(1, LINES + 1))
    with psycopg.connect(settings.database_dsn) as connection:
        assert settled_then <= _settled(connection)
        bills = Counter(
            row[0]
            for row in connection.execute(
                "SELECT decision_id FROM model_selections WHERE outcome = 'ok'"
            )
        )
        lost = connection.execute(
            "SELECT count(*) FROM model_selections WHERE outcome IS DISTINCT FROM 'ok'"
        ).fetchone()
        spent, charged = _spent(connection), sum(one.cost for one in simulator.charges)
    assert len(bills) == DISTINCT
    assert set(bills.values()) == {1}  # one paid answer a distinct prompt
    # Only calls that were in the air when the process died were made again.
    assert lost is not None and lost[0] <= CONCURRENCY
    assert len(simulator.charges) - DISTINCT <= lost[0]
    assert spent >= charged


def _settled(connection: psycopg.Connection[Any]) -> set[object]:
    rows = connection.execute("SELECT id, actual_cost FROM model_selections WHERE outcome = 'ok'")
    return {tuple(row) for row in rows}


def _spent(connection: psycopg.Connection[Any]) -> Any:
    row = connection.execute(
        "SELECT spent_amount + reserved_amount FROM cost_budgets WHERE budget_type = 'global'"
    ).fetchone()
    assert row is not None
    return row[0]
