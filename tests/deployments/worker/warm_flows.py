"""Flows that the workers under test run."""

from __future__ import annotations

import asyncio
import time

from prefect import flow, get_run_logger
from prefect.flow_runs import suspend_flow_run
from prefect.runtime import deployment, flow_run


@flow(persist_result=True, result_serializer="json")
async def add_one(number: int = 1) -> int:
    get_run_logger().info("adding to %s in deployment %s", number, deployment.id)
    return number + 1


@flow
async def sleep_for(seconds: float) -> None:
    logger = get_run_logger()
    logger.info("sleep begins")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(0.1)
        logger.info("money settled")
        raise


@flow
async def sleep_the_first_time(seconds: float) -> None:
    if flow_run.run_count == 1:
        await asyncio.sleep(seconds)


@flow
async def sleep_in_steps(steps: int) -> None:
    for number in range(steps):
        await add_one(number)
        await asyncio.sleep(0.2)


@flow
async def exit_the_process() -> None:
    raise SystemExit(3)


@flow
async def wait_for_a_person() -> None:
    await suspend_flow_run(timeout=60, key="once")


@flow
def block_the_loop() -> None:
    time.sleep(1)
