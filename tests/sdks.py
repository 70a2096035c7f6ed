"""The official SDKs as their users make them, without retries, against an address of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import openai
from openrouter import OpenRouter, utils

NO_RETRIES = utils.RetryConfig("none", utils.BackoffStrategy(1, 1, 1, 1), False)


def openai_client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=20)


@contextmanager
def openrouter_client(url: str) -> Iterator[OpenRouter]:
    with (
        httpx.Client() as client,
        OpenRouter(
            api_key="k",
            server_url=url,
            client=client,
            retry_config=NO_RETRIES,
            timeout_ms=20_000,
        ) as sdk,
    ):
        yield sdk
