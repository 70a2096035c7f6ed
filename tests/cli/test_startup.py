"""The command line loads nothing heavy before it is needed; figures: `benchmarks/startup`."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"prefect", "fastapi", "alembic", "sqlalchemy", "sqlmodel", "uvicorn", "starlette"}


def loaded_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_help_loads_no_library_beyond_click():
    loaded = loaded_after("import deployments.cli.main")
    assert not loaded & (HEAVY | {"pydantic", "httpx", "psycopg", "rich"})


def test_lane_ledger_loads_neither_prefect_nor_an_orm_nor_a_web_framework():
    loaded = loaded_after("import deployments.system, deployments.lanes, deployments.preparation")
    assert not loaded & HEAVY
    assert "jsonschema" not in loaded
