"""The parts of the system: their commands, their environment, their order."""

from __future__ import annotations

import os
from dataclasses import dataclass

from deployments.ports import LOOPBACK
from deployments.postgres import PostgresServer
from deployments.prefect_server import server_arguments, server_environment
from deployments.up import idle
from deployments.up.deployed import POOL
from deployments.up.part import Part, Step
from deployments.up.probes import answers, lives, works_at
from tasks.adapters.settings import Settings

WORKER_START_S = 300.0  # it waits for the server, whose database may be new
WORKER_STOP_S = 60.0  # it drains for 30 s and hands the rest back
LOG_FORMAT = "%(levelname)-7s %(message)s"
# One line of the log already has the time and the part's name.
CHILD_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "NO_COLOR": "1",
    "PREFECT_LOGGING_COLORS": "false",
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FORMAT": LOG_FORMAT,
    "PREFECT_LOGGING_FORMATTERS_STANDARD_FLOW_RUN_FMT": (
        "%(levelname)-7s %(flow_run_name)s: %(message)s"
    ),
    "PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT": (
        "%(levelname)-7s %(task_run_name)s: %(message)s"
    ),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the options of `switchyard up` ask for."""

    port: int = 8700
    prefect_port: int = 0
    worker: bool = True
    api: bool = True
    api_processes: int = 1


def child_environment() -> dict[str, str]:
    """Return this process's environment, which names every address, for a child."""
    return dict(os.environ) | CHILD_ENVIRONMENT


def simulator_part(settings: Settings, port: int) -> Part:
    """Return the simulator on a port of its own."""
    charges = settings.home / "simulator" / "charges.jsonl"
    return Part(
        name="simulator",
        module="deployments.simulator",
        arguments=("--port", str(port), "--charge-log", str(charges)),
        environment=child_environment(),
        probe=answers(f"http://{LOOPBACK}:{port}/simulator/state"),
        quiet_until_ready=True,
    )


def prefect_part(settings: Settings, postgres: PostgresServer, port: int) -> Part:
    """Return the Prefect server over the embedded PostgreSQL."""
    return Part(
        name="prefect",
        module="prefect",
        arguments=server_arguments(port),
        environment=idle.SERVER | server_environment(settings, postgres, port) | CHILD_ENVIRONMENT,
        probe=answers(f"http://{LOOPBACK}:{port}/api/health"),
        needs=("migrate",),
        quiet_until_ready=True,  # its banner says less than our own summary
    )


def migrate_step(settings: Settings, postgres: PostgresServer) -> Step:
    """Return the step that brings Prefect's database up to date."""
    environment = server_environment(settings, postgres, 0) | CHILD_ENVIRONMENT
    return Step(
        name="database",
        module="prefect",
        arguments=("server", "database", "upgrade", "-y"),
        environment=environment,
    )


def prepare_step() -> Step:
    """Return the step that brings the ledger's database up to date."""
    return Step(
        name="prepare",
        module="deployments.up.prepare",
        arguments=(),
        environment=child_environment(),
        needs=("simulator",),  # the prices come from it
    )


def deploy_step() -> Step:
    """Return the step that applies prefect.yaml; it waits for the server by itself."""
    return Step(
        name="deploy", module="deployments.up.deploy", arguments=(), environment=child_environment()
    )


def worker_part(prefect_api_url: str, *, own_server: bool) -> Part:
    """Return the warm worker; it imports while the server starts, and waits for it."""
    return Part(
        name="worker",
        module="deployments.cli",
        arguments=("worker",),
        environment=child_environment() | _console("INFO"),
        probe=works_at(prefect_api_url, POOL) if own_server else lives,
        needs=("prepare",),
        uses=("prefect", "simulator"),
        start_timeout_s=WORKER_START_S,
        stop_timeout_s=WORKER_STOP_S,
    )


def api_part(port: int, processes: int) -> Part:
    """Return the HTTP API."""
    return Part(
        name="api",
        module="deployments.cli",
        arguments=("serve", "--port", str(port), "--processes", str(processes)),
        environment=child_environment() | _console("WARNING"),
        probe=answers(f"http://{LOOPBACK}:{port}/healthz"),
        needs=("prepare",),
        uses=("prefect", "simulator"),
    )


def _console(level: str) -> dict[str, str]:
    return {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": level}
