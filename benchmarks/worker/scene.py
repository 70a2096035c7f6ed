"""A Prefect server on the embedded PostgreSQL, two pools with a worker each."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from deployments.postgres import PostgresServer, running_postgres
from deployments.prefect_server import client_environment, running_prefect_server
from tasks.adapters.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.05
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Pool:
    """One deployment of the no-op flow, triggered and read by plain HTTP."""

    http: httpx.Client
    deployment_id: str

    def latencies_s(self, at_once: int) -> list[float]:
        """Trigger so many runs and return each one's seconds from trigger to persisted result."""
        began: dict[str, float] = {}
        for _ in range(at_once):
            now = time.perf_counter()
            began[self._trigger()] = now
        took: dict[str, float] = {}
        deadline = time.perf_counter() + PATIENCE_S
        while len(took) < at_once and time.perf_counter() < deadline:
            time.sleep(POLL_S)
            for flow_run_id in self._finished(list(began)):
                took.setdefault(flow_run_id, time.perf_counter() - began[flow_run_id])
        if len(took) < at_once:
            raise TimeoutError(f"{at_once - len(took)} of {at_once} runs are not done")
        return list(took.values())

    def _trigger(self) -> str:
        answer = self._post(f"/deployments/{self.deployment_id}/create_flow_run", {})
        return str(answer["id"])

    def _finished(self, ids: list[str]) -> list[str]:
        runs = self._post("/flow_runs/filter", {"flow_runs": {"id": {"any_": ids}}})
        done = [run for run in runs if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]
        for run in done:
            if run["state_type"] != "COMPLETED" or not run["state"]["data"]["storage_key"]:
                raise RuntimeError(f"a run ended without a result: {run['state']}")
        return [str(run["id"]) for run in done]

    def _post(self, path: str, body: dict[str, Any]) -> Any:  # Prefect's JSON
        answer = self.http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()


@contextlib.contextmanager
def postgres_scene() -> Iterator[tuple[Path, PostgresServer, httpx.Client, dict[str, str]]]:
    """Yield a home, its PostgreSQL, a client of its Prefect server, and workers' environment."""
    with contextlib.ExitStack() as parts:
        home = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="switchyard bench ")))
        home.chmod(0o755)
        settings = Settings(switchyard_home=home)
        postgres = parts.enter_context(running_postgres(home))
        api_url = parts.enter_context(running_prefect_server(settings, postgres))
        http = parts.enter_context(httpx.Client(base_url=api_url, timeout=60, trust_env=False))
        yield home, postgres, http, environment_for(settings, api_url)


@contextlib.contextmanager
def server_scene() -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """Yield a client of a new Prefect server, and the environment for its workers."""
    with postgres_scene() as (_, _, http, environment):
        yield http, environment


@contextlib.contextmanager
def scene() -> Iterator[tuple[Pool, Pool]]:
    """Yield the stock worker's pool and the warm worker's, each with its worker running."""
    with server_scene() as (http, environment), contextlib.ExitStack() as workers:
        pools = (deploy(http, "stock", "process"), deploy(http, "warm", "switchyard"))
        stock = ["-m", "prefect", "worker", "start", "--pool", "stock", "--type", "process"]
        warm = ["-c", "from deployments.worker.start import run_worker; run_worker(pool='warm')"]
        for command in (stock, warm):
            workers.enter_context(_running([sys.executable, *command], environment))
        yield pools


def environment_for(settings: Settings, api_url: str) -> dict[str, str]:
    """Return a worker's environment: no ledger, the repository's root on the path."""
    found = settings.model_copy(update={"prefect_api_url": api_url})
    environment = os.environ | client_environment(found) | {"PYTHONPATH": str(ROOT)}
    environment.pop("DATABASE_URL", None)
    return environment


def deploy(http: httpx.Client, pool: str, kind: str) -> Pool:
    """Make a work pool and a deployment of the no-op flow in it."""
    create_pool(http, pool, kind)
    flow = http.post("/flows/", json={"name": "bench-no-op"}).raise_for_status().json()
    deployment = {
        "name": pool,
        "flow_id": flow["id"],
        "entrypoint": "benchmarks.worker.flows.no_op",
        "work_pool_name": pool,
        "pull_steps": [],
    }
    made = http.post("/deployments/", json=deployment).raise_for_status().json()
    return Pool(http, made["id"])


def create_pool(http: httpx.Client, pool: str, kind: str) -> None:
    """Make a work pool of a worker type."""
    body = {"name": pool, "type": kind, "base_job_template": template_of(kind)}
    http.post("/work_pools/", json=body).raise_for_status()


def template_of(kind: str) -> dict[str, Any]:
    """Return a worker type's job template, whether or not it is installed as a plugin."""
    from prefect.workers.process import ProcessWorker

    from deployments.worker.worker import SwitchyardWorker

    worker = ProcessWorker if kind == "process" else SwitchyardWorker
    return worker.get_default_base_job_template()


@contextlib.contextmanager
def _running(command: list[str], environment: Mapping[str, str]) -> Iterator[None]:
    worker = subprocess.Popen(
        command, env=dict(environment), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    try:
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(60)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
