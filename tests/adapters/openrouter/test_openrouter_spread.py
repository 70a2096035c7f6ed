"""Requests are spread over a few pools, and every answer gives its place back."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from deployments.simulator import SimulatorConfig, running_simulator
from tasks.adapters.openrouter.spread import SpreadTransport

pytestmark = pytest.mark.anyio
LIMITS = httpx.Limits(max_connections=16, max_keepalive_connections=8)


async def test_concurrent_requests_are_even_over_the_pools() -> None:
    spread = SpreadTransport(LIMITS, trust_env=False, pools=4)
    with running_simulator(SimulatorConfig(latency_scale=0)) as running:
        async with httpx.AsyncClient(transport=spread, trust_env=False) as client:
            streams = [client.stream("GET", f"{running.url}/models") for _ in range(8)]
            answers = [await stream.__aenter__() for stream in streams]
            assert spread._open == [2, 2, 2, 2]
            await asyncio.gather(*(answer.aread() for answer in answers))
            for stream in streams:
                await stream.__aexit__(None, None, None)
            assert spread._open == [0, 0, 0, 0]


async def test_failed_request_gives_its_place_back() -> None:
    spread = SpreadTransport(LIMITS, trust_env=False, pools=2)
    async with httpx.AsyncClient(transport=spread, trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://127.0.0.1:9/")
    assert spread._open == [0, 0]
