"""`make demo` without its set-up: from an empty home to an audited end, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from deployments.postgres import PostgresServer
from tests.cli.conftest import clean_environment, run_switchyard

ROOT = Path(__file__).parent.parent
STATUSES = ["completed"] * 5 + ["rejected", "completed"]


def start_demo(home: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deployments.demo"],
        cwd=ROOT,
        env=clean_environment(SWITCHYARD_HOME=str(home), **environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err[-3000:]
    return out + err


def statuses_in(text: str) -> list[str]:
    """The last column of the summary's rows."""
    rows = [line for line in text.splitlines() if line.startswith("│")]
    return [row.strip("│ ").split("│")[-1].strip() for row in rows]


def processes_of(home: Path) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(home) in command + environment and int(folder.name) != os.getpid():
            found.append(command.replace("\0", " "))
    return found


@pytest.mark.timeout(600)
def test_two_demos_at_once_in_a_long_path_with_spaces_end_well_and_leave_nothing(tmp_path):
    home = tmp_path / "a home with spaces" / ("x" * 40) / ("y" * 40)
    home = home.with_name(home.name + "z" * max(0, 120 - len(str(home))))
    assert len(str(home)) >= 120
    demos = [start_demo(home) for _ in range(2)]
    for text in [finish(demo) for demo in demos]:
        assert statuses_in(text) == STATUSES
        assert "simulated upstream: no money moved" in text
        assert "Where to look" in text
    assert processes_of(home) == []
    audit = run_switchyard("audit", "--json", SWITCHYARD_HOME=str(home))
    assert (audit.code, audit.document["differences"]) == (0, [])
    assert audit.document["entries"] == 14
    replay = run_switchyard("replay", "--all", "--json", SWITCHYARD_HOME=str(home))
    assert (replay.code, replay.document["identical"]) == (0, 14)
    assert processes_of(home) == []


@pytest.mark.timeout(600)
def test_demo_uses_an_external_database(postgres_server: PostgresServer, tmp_path):
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier("demo_external")))
    url = postgres_server.url("demo_external")
    text = finish(start_demo(tmp_path / "home", DATABASE_URL=url))
    assert statuses_in(text) == STATUSES
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT state, count(*) FROM model_selections GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert rows == [("RELEASED", 1), ("SETTLED", 6)]
    assert processes_of(tmp_path / "home") == []
