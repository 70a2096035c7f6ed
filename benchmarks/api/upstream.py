"""CPU of one upstream call: the client as it is, beside the same client over httpx's own transport.

`python benchmarks/api/upstream.py [--calls N] [--rounds N]`: both alternate against `stub.py`, each
round with 1, 16, 64 and 200 calls under way; prints milliseconds of CPU a call and their ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import httpx

from models.pricing import TokenPrice
from tasks.adapters.openrouter import ChatCall, OpenRouterClient
from tasks.adapters.openrouter.client import LIMITS

CONCURRENT = (1, 16, 64, 200)
CALL = ChatCall(
    model_id="openai/gpt-4o-mini",
    messages=[{"role": "user", "content": "Summarise the quarterly report."}],
    max_tokens=64,
    price=TokenPrice(Decimal("0.00000015"), Decimal("0.0000006")),
)


async def cpu_ms_per_call(client: OpenRouterClient, calls: int, concurrent: int) -> float:
    """Return the CPU time of this process a call, once the connections are there."""

    async def ask(times: int) -> None:
        for _ in range(times):
            await client.complete(CALL, deadline_s=60)

    await asyncio.gather(*(ask(2) for _ in range(concurrent)))
    each = max(1, calls // concurrent)
    started_s = time.process_time()
    await asyncio.gather(*(ask(each) for _ in range(concurrent)))
    return (time.process_time() - started_s) * 1000 / (each * concurrent)


async def compare(url: str, calls: int, rounds: int) -> None:
    """Print one line for each number of calls under way: the medians of the rounds."""
    for concurrent in CONCURRENT:
        httpx_ms, ours_ms = [], []
        for _ in range(rounds):
            async with httpx.AsyncHTTPTransport(limits=LIMITS, trust_env=False) as wire:
                client = OpenRouterClient(url, None, wire=wire)
                httpx_ms.append(await cpu_ms_per_call(client, calls, concurrent))
            client = OpenRouterClient(url, None)
            ours_ms.append(await cpu_ms_per_call(client, calls, concurrent))
            await client.aclose()
        before, after = statistics.median(httpx_ms), statistics.median(ours_ms)
        print(
            f"{concurrent:4} under way: httpx {before:.2f} ms, ours {after:.2f} ms a call,"
            f" ratio {before / after:.1f}"
        )


def main() -> None:
    """Start the stub, compare, and stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stub = [sys.executable, str(Path(__file__).parent / "stub.py"), str(port)]
    with subprocess.Popen(stub) as running:
        try:
            time.sleep(1)
            url = f"http://127.0.0.1:{port}/v1"
            asyncio.run(compare(url, arguments.calls, arguments.rounds))
        finally:
            running.terminate()


if __name__ == "__main__":
    main()
