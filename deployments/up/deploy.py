"""Apply prefect.yaml to the Prefect server, then end: a child, so that its imports go with it.

The import takes seconds and overlaps with the start of the server, which is waited for.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
import time

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, PrefectException
from prefect.variables import Variable

from deployments.automations import keep_automations
from deployments.up.deployed import POOL, ROOT, VARIABLE, digest
from deployments.worker.worker import SwitchyardWorker
from models.errors import PrefectFailed, SwitchyardError
from tasks.adapters.settings import read_settings

SERVER_TIMEOUT_S = 180.0


async def make_ready() -> None:
    """Wait for the server and make the work pool."""
    async with get_client() as client:
        deadline_s = time.monotonic() + SERVER_TIMEOUT_S
        while (trouble := await client.api_healthcheck()) is not None:
            if time.monotonic() > deadline_s:
                raise PrefectFailed(f"the Prefect server does not answer: {trouble!r}")
            await asyncio.sleep(0.2)
        template = SwitchyardWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=POOL, type=SwitchyardWorker.type, base_job_template=template)
        try:
            await client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return


def deploy_all() -> None:
    """Run `prefect --no-prompt deploy --all` inside this process, which has Prefect loaded."""
    os.chdir(ROOT)
    sys.argv = ["prefect", "--no-prompt", "deploy", "--all"]
    try:
        runpy.run_module("prefect", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise


async def automate(notify_block: str | None) -> None:
    """Bring the automations up to date; the last thing, and then all of it is noted down."""
    async with get_client() as client:
        await keep_automations(client, notify_block)
    await Variable.aset(VARIABLE, digest(notify_block), overwrite=True)


def main() -> None:
    """Deploy, and note down on the server what was deployed."""
    notify_block = read_settings().switchyard_notify_block
    try:
        asyncio.run(make_ready())
        deploy_all()
        asyncio.run(automate(notify_block))
    except (httpx.HTTPError, PrefectException) as error:
        raise PrefectFailed(f"the Prefect server refused: {error}") from error


if __name__ == "__main__":
    try:
        main()
    except SwitchyardError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
