"""`switchyard` as a user runs it: a process of its own, with exit code, stdout and stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployments.simulator import RunningSimulator

OURS = ("OPENROUTER_", "SWITCHYARD_", "PREFECT_", "DATABASE_URL", "PG")
SWITCHYARD = Path(sys.executable).with_name("switchyard")
TIMEOUT_S = 120


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Run = Callable[..., Done]


def clean_environment(**changes: str) -> dict[str, str]:
    """This process's environment without anything that configures Switchyard or Prefect."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    return kept | changes


def run_switchyard(*arguments: str, **environment: str) -> Done:
    done = subprocess.run(
        [SWITCHYARD, *arguments],
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command with nothing configured but an empty home."""

    def run(*arguments: str, **environment: str) -> Done:
        home = {"SWITCHYARD_HOME": str(tmp_path / "home")}
        return run_switchyard(*arguments, **home | environment)

    return run


@pytest.fixture
def ready(run: Run, routing_url: str, simulator: RunningSimulator) -> Run:
    """Run a command against the test's own database and simulator, so that nothing is started."""

    def ready(*arguments: str, **environment: str) -> Done:
        where = {"DATABASE_URL": routing_url, "SWITCHYARD_SIMULATOR_URL": simulator.url}
        return run(*arguments, **where | environment)

    return ready


def chat_requests(simulator: RunningSimulator) -> int:
    """How many chat requests reached the upstream."""
    counted = simulator.simulator.answers
    return sum(n for name, n in counted.items() if "/chat/completions" in name)
