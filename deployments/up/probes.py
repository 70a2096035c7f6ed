"""Whether a part is well, asked over plain HTTP: the supervisor stays small without Prefect."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from http.client import HTTPException
from typing import Any

from deployments.up.part import Probe

ANSWER_TIMEOUT_S = 5.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy


def fetch_json(url: str, body: object = None) -> Any:  # whatever the document holds
    """Return the JSON answer to a GET, or with a body to a POST; raises OSError."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with _OPENER.open(request, timeout=ANSWER_TIMEOUT_S) as answer:
            return json.load(answer)
    except (HTTPException, ValueError) as error:
        raise OSError(f"{url} answered no JSON: {error}") from error


def answers(url: str) -> Probe:
    """Return a probe that is content with any JSON document at the URL."""

    async def probe(pid: int) -> bool:
        try:
            await asyncio.to_thread(fetch_json, url)
        except OSError:
            return False
        return True

    return probe


def works_at(prefect_api_url: str, pool: str) -> Probe:
    """Return a probe that asks Prefect whether the worker of this process is online."""
    url = f"{prefect_api_url}/work_pools/{pool}/workers/filter"

    async def probe(pid: int) -> bool:
        try:
            workers = await asyncio.to_thread(fetch_json, url, {})
        except OSError:
            return False
        return any(f":{pid}:" in one["name"] and one["status"] == "ONLINE" for one in workers)

    return probe


async def lives(pid: int) -> bool:
    """Content with a process that runs: nobody can be asked about it."""
    return True
