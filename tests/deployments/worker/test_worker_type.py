from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from deployments.worker.identity import ProcessIdentity, parse_identity, this_process
from deployments.worker.worker import SwitchyardWorker

if TYPE_CHECKING:
    from tests.deployments.worker.conftest import RestartableServer

ROOT = Path(__file__).parents[3]


def test_worker_type_is_registered_with_prefect() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module = importlib.import_module(project["entry-points"]["prefect.collections"]["switchyard"])
    assert module.SwitchyardWorker.type == "switchyard"


def test_module_that_the_prefect_server_loads_imports_no_flow_and_no_database() -> None:
    seen = "import sys, deployments.worker.worker; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", seen], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    assert {"flows", "tasks", "psycopg", "deployments.worker.service"}.isdisjoint(loaded)


def test_every_process_has_a_worker_name_of_its_own() -> None:
    worker = SwitchyardWorker("a-pool", name="given")
    assert worker.name == f"given {this_process()}"
    assert parse_identity(worker.name) == this_process()


def test_identity_knows_a_dead_process_only_on_its_own_machine() -> None:
    here = this_process()
    dead = ProcessIdentity(here.host, here.pid, "1", here.space)
    elsewhere = ProcessIdentity("another", here.pid, "1", here.space)
    assert dead.is_known_dead(here)
    assert not elsewhere.is_known_dead(here)
    assert not here.is_known_dead(here)


def test_name_of_another_worker_type_has_no_identity() -> None:
    assert parse_identity("ProcessWorker 8f0c8d5e-6f57-4a3b-bb39-5a0e0e3c0b6e") is None


def test_prefect_yaml_names_every_flow_by_module_path_and_stores_no_folder() -> None:
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    assert document["pull"] == []
    for deployment in document["deployments"]:
        module, _, name = deployment["entrypoint"].rpartition(".")
        assert hasattr(importlib.import_module(module), name)
        assert deployment["work_pool"] == {"name": "switchyard"}


def test_prefect_deploy_accepts_all_deployments(server: RestartableServer) -> None:
    from deployments.prefect_server import client_environment

    settings = server.settings.model_copy(update={"prefect_api_url": server.api_url})
    environment = os.environ | client_environment(settings)

    def prefect(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )

    made = prefect("work-pool", "create", "switchyard", "--type", "switchyard")
    deployed = prefect("deploy", "--all")
    # other servers of the session share this one's database: their workers must not find these
    gone = prefect("work-pool", "delete", "switchyard"), prefect("deployment", "delete", "--all")
    assert made.returncode == 0, made.stdout + made.stderr
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert "route-request/default" in deployed.stdout
    assert [step.returncode for step in gone] == [0, 0], gone
