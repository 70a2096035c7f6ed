"""Opens the process's client, and closes it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx

from tasks.adapters.openrouter.client import OpenRouterClient
from tasks.adapters.openrouter.transport import Timeouts


@contextlib.asynccontextmanager
async def open_client(
    base_url: str,
    api_key: str | None,
    *,
    timeout_s: float | None = None,
    timeouts: Timeouts | None = None,
    wire: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[OpenRouterClient]:
    """Open the process's client; `timeout_s` is the longest silence of an upstream.

    Raises InvalidConfiguration for a base URL or key that cannot be used.
    """
    if timeouts is None:
        timeouts = Timeouts() if timeout_s is None else Timeouts(read_s=timeout_s)
    client = OpenRouterClient(base_url, api_key, timeouts=timeouts, wire=wire)
    try:
        yield client
    finally:
        await client.aclose()
