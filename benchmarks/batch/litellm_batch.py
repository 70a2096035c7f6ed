"""LiteLLM's Router.abatch_completion over the same lines; runs in LiteLLM's own venv.

    python litellm_batch.py BASE_URL MODEL LINES.jsonl

Prints one JSON document. No budget, no database: the fastest way LiteLLM offers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import litellm
from litellm import Router

litellm.suppress_debug_info = True


async def measured(base_url: str, model: str, prompts: list[str]) -> dict[str, object]:
    """Return how many answers came in which time."""
    parameters = {"model": f"openai/{model}", "api_base": base_url, "api_key": "simulated"}
    router = Router(model_list=[{"model_name": "m", "litellm_params": parameters}], num_retries=0)
    await router.acompletion(model="m", messages=[{"role": "user", "content": "warm up"}])
    messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
    started = time.perf_counter()
    answers = await router.abatch_completion(models=["m"], messages=messages, max_tokens=1000)
    seconds = time.perf_counter() - started
    good = sum(not isinstance(answer[0], Exception) for answer in answers)
    return {"version": version("litellm"), "good": good, "seconds": seconds}


def main() -> None:
    """Read the lines and print the measurement."""
    base_url, model, source = sys.argv[1:]
    lines = Path(source).read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines]
    print(json.dumps(asyncio.run(measured(base_url, model, prompts))))


if __name__ == "__main__":
    main()
