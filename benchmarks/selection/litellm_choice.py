"""Time LiteLLM's Router choosing between two deployments; runs in LiteLLM's own environment.

Prints one JSON line a round for every line read from stdin, so that rounds can be interleaved.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version

import litellm

PROMPT = "Fix the login bug that logs people out after five minutes, and add a test for it."
MESSAGES = [{"role": "user", "content": PROMPT}]
WARM_UP = 200


def two_deployments() -> litellm.Router:
    """Return a Router with its default strategy (simple-shuffle) over two deployments."""
    return litellm.Router(
        model_list=[
            {"model_name": "pair", "litellm_params": {"model": model, "api_key": "unused"}}
            for model in ("openai/gpt-4o-mini", "openai/gpt-4o")
        ]
    )


async def choices_ns(router: litellm.Router, rounds: int) -> dict[str, list[int]]:
    """Return the nanoseconds of each choice, by the synchronous and the asynchronous path."""
    plain, waiting = [], []
    for _ in range(rounds):
        started = time.perf_counter_ns()
        router.get_available_deployment(model="pair", messages=MESSAGES, request_kwargs={})
        plain.append(time.perf_counter_ns() - started)
        started = time.perf_counter_ns()
        await router.async_get_available_deployment(
            model="pair", messages=MESSAGES, request_kwargs={}
        )
        waiting.append(time.perf_counter_ns() - started)
    return {"sync": plain, "async": waiting}


async def main() -> None:
    """Answer each line of stdin (a number of rounds) with the times of as many choices."""
    router = two_deployments()
    await choices_ns(router, WARM_UP)
    print(json.dumps({"version": version("litellm")}), flush=True)
    for line in sys.stdin:
        print(json.dumps(await choices_ns(router, int(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
