"""A canary key goes through success and failure, and is then looked for everywhere."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from deployments.lanes import flow_lane, run_in_lane
from deployments.preparation import prepared_runtime
from deployments.simulator import Fault, FaultRule
from models.request import RoutingRequest
from tasks.adapters.settings import Settings

pytestmark = pytest.mark.anyio

CANARY = "sk-or-v1-CANARY7f3a9c51e8d24b60a1f5c3e7d9b2a4f68"
FORMS = (CANARY, CANARY[:12], quote(CANARY, safe=""), base64.b64encode(CANARY.encode()).decode())
FAULTS = (Fault.UNAUTHORIZED, Fault.SERVER_ERROR, Fault.BAD_REQUEST, Fault.OUT_OF_CREDITS)


async def test_key_is_in_no_log_artifact_parameter_table_file_or_command_line(
    prefect_api_url, database_url, postgres_server, simulator, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    settings = Settings(
        openrouter_api_key=SecretStr(CANARY),
        openrouter_base_url=simulator.url,
        database_url=SecretStr(database_url),
        prefect_api_url=prefect_api_url,
        switchyard_home=tmp_path,
        switchyard_simulator_url=None,
    )
    assert CANARY not in repr(settings)
    texts = []
    async with prepared_runtime(settings), flow_lane():
        for lane in ("flow", "ledger"):
            texts.append(repr(await run_in_lane(RoutingRequest(prompt="Fix it."), lane)))
        for fault in FAULTS:
            echo = f"No such key {CANARY}, nor Bearer {CANARY}"
            simulator.add_fault(FaultRule(fault=fault, times=1, message=echo))
            request = RoutingRequest(prompt=f"Fix {fault}.", task_type="fix_bug")
            texts.append(repr(await run_in_lane(request, "flow")))
    places = {
        "results": "\n".join(texts),
        "log": caplog.text,
        "ledger": "\n".join(every_row(database_url)),
        "prefect": "\n".join(every_row(postgres_server.url("prefect"))),
        "files": "\n".join(every_file(tmp_path)),
        "command lines": "\n".join(command_lines()),
    }
    assert "Fix" in places["prefect"], "the search looks where the runs are"
    found = [place for place, text in places.items() if any(form in text for form in FORMS)]
    assert found == []


def every_row(url: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        ).fetchall()
        for (table,) in tables:
            query = sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(sql.Identifier(table))
            yield from (row[0] for row in connection.execute(query))


def every_file(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.read_text(encoding="utf-8", errors="replace")


def command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
