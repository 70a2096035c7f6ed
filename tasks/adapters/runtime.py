"""What a process opens once and every step uses: database, ledger, upstream client."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import uuid4

from tasks.adapters.database import Database, open_database
from tasks.adapters.known_limits import KnownLimits, account_of
from tasks.adapters.ledger import Ledger
from tasks.adapters.openrouter import OpenRouterClient, open_client
from tasks.adapters.scoped import scoped
from tasks.adapters.settings import Settings, read_settings
from tasks.adapters.spans import Spans, open_spans


@dataclass(frozen=True, slots=True)
class Runtime:
    """The open resources of this process; `owner` names it in the ledger's leases."""

    settings: Settings
    database: Database
    ledger: Ledger
    upstream: OpenRouterClient
    owner: str
    limits: KnownLimits
    spans: Spans = field(default_factory=Spans)


_current: ContextVar[Runtime | None] = ContextVar("switchyard_runtime", default=None)


def runtime() -> Runtime:
    """Return the open runtime; using a step outside one is a mistake in the program."""
    opened = _current.get()
    if opened is None:
        raise RuntimeError("no runtime is open: use `async with shared_runtime()`")
    return opened


def process_owner() -> str:
    """Return the name under which this process holds leases."""
    return runtime().owner


@contextlib.asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Open everything a process needs, check that the installation fits, close it at the end.

    Raises InvalidConfiguration when simulated and real money would mix.
    """
    async with (
        open_database(settings.database_dsn) as database,
        open_client(
            settings.upstream_url, settings.api_key, timeout_s=settings.switchyard_request_timeout_s
        ) as upstream,
        open_spans(settings) as spans,
    ):
        ledger = Ledger(database)
        await ledger.claim_installation(simulated=settings.simulated)
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        limits = KnownLimits(database, account_of(settings))
        opened = Runtime(settings, database, ledger, upstream, owner, limits, spans)
        with scoped(_current, opened):
            yield opened


@contextlib.contextmanager
def using_runtime(opened: Runtime) -> Iterator[Runtime]:
    """Let every step inside this block use `opened`."""
    with scoped(_current, opened):
        yield opened


@contextlib.asynccontextmanager
async def shared_runtime() -> AsyncIterator[Runtime]:
    """Use the runtime that this process has open, else open one from the environment."""
    opened = _current.get()
    if opened is not None:
        yield opened
        return
    async with open_runtime(read_settings()) as fresh:
        yield fresh
