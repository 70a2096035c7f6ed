"""`switchyard serve --json` tells programs where it answers."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import httpx

from deployments.simulator import RunningSimulator
from tests.cli.conftest import SWITCHYARD, clean_environment


def test_address_is_one_json_document_on_stdout(
    routing_url: str, simulator: RunningSimulator, tmp_path: Path
) -> None:
    environment = clean_environment(
        SWITCHYARD_HOME=str(tmp_path),
        DATABASE_URL=routing_url,
        SWITCHYARD_SIMULATOR_URL=simulator.url,
    )
    arguments = [SWITCHYARD, "serve", "--port", "0", "--trace", "ledger", "--json"]
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            url = json.loads("".join(lines))["url"]
            assert httpx.get(f"{url}/healthz", trust_env=False).json() == {"status": "ok"}
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert process.returncode in (0, 130)
