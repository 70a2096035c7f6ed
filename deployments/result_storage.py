"""Where Prefect keeps the results of `route-request`: asked once a process, not once a run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def shared_result_storage() -> AsyncIterator[None]:
    """Let the runs inside use the storage that Prefect names now; use it with its client open.

    Prefect's engine asks its server for this in every run, by a call that blocks the event loop
    (prefect/results.py, `update_for_flow`, 3.8.8): 10 to 50 ms in which no other run goes on.
    """
    from prefect.results import aget_default_result_storage

    from flows.route_request import route_request

    before = route_request.result_storage
    route_request.result_storage = before or await aget_default_result_storage()
    try:
        yield
    finally:
        route_request.result_storage = before
