"""What the parts of one worker share: its pool, its name, its client, its log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound, PrefectException

from deployments.worker.identity import ProcessIdentity

# What a call to a server that is gone, restarting or overloaded raises. The loops of the worker
# wait these out; PrefectException is what the client raises for a server of another version.
SERVER_TROUBLE = (httpx.HTTPError, ObjectNotFound, PrefectException, OSError)

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]


@dataclass(frozen=True, slots=True)
class Station:
    """One worker at one pool; all API calls go through the one `client`."""

    client: PrefectClient
    pool: str
    pool_id: Callable[[], UUID | None]
    queues: tuple[str, ...]
    worker_name: str
    identity: ProcessIdentity
    logger: Logger
    resumable_packages: tuple[str, ...]
