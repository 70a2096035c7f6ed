"""The flow that is measured: nothing but what Prefect itself does."""

from __future__ import annotations

from prefect import flow


@flow(name="bench-no-op", persist_result=True)
async def no_op(number: int = 1) -> int:
    """Return the next number."""
    return number + 1
