"""Whatever a process logs after it has read its settings is without secrets."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CANARY = "sk-or-v1-CANARY7f3a9c51e8d24b60a1f5c3e7d9b2a4f68"
CODE = """
import logging, os, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
{edge}
key = os.environ["OPENROUTER_API_KEY"]
logging.getLogger("anybody").warning("key %s", key)
logging.getLogger("made.later").debug(f"Bearer {{key}}")
handler = logging.StreamHandler(sys.stdout)  # as the worker's and Prefect's: made after the start
logging.getLogger("prefect.flow_runs").addHandler(handler)
logging.getLogger("prefect.flow_runs").error({{"Authorization": key}})
try:
    raise ValueError(f"no such key {{key}}")
except ValueError:
    logging.getLogger("anybody").exception("failed")
print("the end")
"""
EDGES = {
    "command": "from tasks.adapters.settings import read_settings; read_settings()",
    "flow run of a stock worker": """
import asyncio
from tasks.adapters.runtime import shared_runtime
async def run():
    async with shared_runtime():
        raise AssertionError("there is no database here")
try:
    asyncio.run(run())
except Exception as error:
    print(type(error).__name__)
""",
}


@pytest.mark.parametrize("edge", EDGES)
def test_log_is_without_the_key_in(edge: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "OPENROUTER_API_KEY": CANARY,
        "DATABASE_URL": "postgresql://me@127.0.0.1:9/none",
        "SWITCHYARD_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(edge=EDGES[edge])],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "the end" in done.stdout
    assert done.stdout.count("[secret]") >= 4
    assert "CANARY" not in done.stdout + done.stderr


def test_every_process_reads_its_settings_by_the_function_that_masks_them() -> None:
    makers = [
        path.relative_to(ROOT).as_posix()
        for folder in ("deployments", "flows", "tasks")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "Settings"
    ]
    assert makers == ["tasks/adapters/settings.py"]
