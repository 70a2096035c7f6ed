"""One API process: its open parts, its HTTP server, its sweeps, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from types import FrameType

import uvicorn

from deployments.api.access import KeyRing
from deployments.api.application import create_application
from deployments.api.gate import Gate
from deployments.api.lanes import Lanes
from deployments.api.metrics import Metrics
from deployments.api.options import ServeOptions
from deployments.api.seat import Seat, SeatedServer, Server
from deployments.api.state import ApiState
from deployments.api.wire import HttpProtocol
from deployments.edge import hearing_signals
from deployments.heap import settled_heap
from deployments.lanes import resume_here
from deployments.preparation import prepared_runtime
from models.errors import InvalidConfiguration, PortTaken, WorldFailed
from tasks.adapters.crowd_ledger import CrowdLedger
from tasks.adapters.ledger import reconcile_unknown
from tasks.adapters.redaction import RedactingFilter, quiet_http_logging
from tasks.adapters.runtime import Runtime, using_runtime
from tasks.adapters.settings import Settings
from tasks.adapters.store.keys import has_active_key
from tasks.adapters.upkeep import sweeping

BACKLOG = 2048
RECONCILE_EVERY_S = 5.0
logger = logging.getLogger("switchyard.api")
OnReady = Callable[[str], None]


def run_api(
    settings: Settings, options: ServeOptions, *, on_ready: OnReady, seat: Seat | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, then let what runs come to its end.

    The event loop runs in a thread: there Prefect, which for every flow run takes SIGTERM over in
    the main thread, cannot touch the signals, and the main thread only waits for them.
    """
    stop = threading.Event()
    told: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        told.append(number)
        stop.set()

    service = ApiService(settings, options, on_ready=on_ready, seat=seat)
    with hearing_signals(end):
        try:
            service.start()
            while not stop.wait(0.5) and service.is_alive:
                pass
        finally:
            service.stop()
    service.raise_failure()
    if told[:1] == [signal.SIGINT]:
        raise KeyboardInterrupt


class ApiService:
    """The API in a thread of its own; for a process, and for tests.

    With a `seat` it is one of several and listens to nothing: its parent does.
    """

    def __init__(
        self,
        settings: Settings,
        options: ServeOptions,
        *,
        on_ready: OnReady | None = None,
        seat: Seat | None = None,
    ) -> None:
        self._settings, self._options, self._on_ready = settings, options, on_ready
        self._seat = seat
        self._server: Server | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="switchyard-api", daemon=True)
        self._ready = threading.Event()
        self._stopping = False
        self.url = ""

    @property
    def is_alive(self) -> bool:
        """Whether the server still runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Return once the API answers; raises what kept it from doing so."""
        self._thread.start()
        self._ready.wait()
        self.raise_failure()

    def stop(self) -> None:
        """Take no more requests, let the running ones end within the drain time, close."""
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(self._options.drain_s + 20)

    def raise_failure(self) -> None:
        """Raise what ended the service before its time, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # handed to the thread that waits
            self._failure = failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        _redact_logs(self._settings)
        if self._seat is not None:
            await self._answer(self._seat.url, None)
            return
        with contextlib.closing(listening_socket(self._options)) as listener:
            await self._answer(url_of(listener), [listener])

    async def _answer(self, url: str, sockets: list[socket.socket] | None) -> None:
        async with open_state(self._settings, self._options, self._seat) as state:
            self.url = url
            self._server = self._made_server(_config(state))
            if not self._stopping:
                with settled_heap():
                    await self._server.serve(sockets=sockets)

    def _made_server(self, config: uvicorn.Config) -> Server:
        if self._seat is None:
            return Server(config, self._announce)
        return SeatedServer(config, self._announce, self._seat)

    def _announce(self) -> None:
        self._ready.set()
        if self._on_ready is not None:
            self._on_ready(self.url)


@contextlib.asynccontextmanager
async def open_state(
    settings: Settings, options: ServeOptions, seat: Seat | None = None
) -> AsyncIterator[ApiState]:
    """Open what the routes need, and sweep beside them.

    Raises InvalidConfiguration off loopback without any key.
    """
    admin = settings.switchyard_api_key
    admin_key = None if admin is None else admin.get_secret_value()
    async with prepared_runtime(settings) as alone:
        opened = replace(alone, ledger=CrowdLedger(alone.database))
        await demand_key(opened, options)
        lanes = Lanes(options, prefect_known=settings.prefect_api_url is not None)
        state = ApiState(
            opened=opened,
            options=options,
            keys=KeyRing(opened.database, admin_key, open_to_all=options.on_loopback),
            gate=Gate(
                options.concurrent_max,
                options.requests_per_minute,
                None if seat is None else seat.counts,
            ),
            lanes=lanes,
            metrics=Metrics(None if seat is None else seat.metrics),
        )
        with using_runtime(opened):
            async with lanes.open(), _upkeep(opened, options):
                yield state
                await _drain(state)


async def demand_key(opened: Runtime, options: ServeOptions) -> None:
    """Raise InvalidConfiguration off loopback where there is no key at all."""
    if options.on_loopback or opened.settings.switchyard_api_key is not None:
        return
    if not await has_active_key(opened.database):
        raise InvalidConfiguration(
            f"listening on {options.host} needs a key: set SWITCHYARD_API_KEY,"
            " or make one with `switchyard keys create`"
        )


@contextlib.asynccontextmanager
async def _upkeep(opened: Runtime, options: ServeOptions) -> AsyncIterator[None]:
    loops = [
        asyncio.create_task(sweeping(opened, options.sweep_every_s, run_here=resume_here)),
        asyncio.create_task(_reconciling(opened)),
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def _reconciling(opened: Runtime) -> None:
    """Ask about lost bills soon: a caller that went away left one."""
    while True:
        await asyncio.sleep(RECONCILE_EVERY_S)
        try:
            await reconcile_unknown(opened.ledger, opened.upstream)
        except WorldFailed as trouble:
            logger.info("lost bills are asked about later: %s", trouble)


async def _drain(state: ApiState) -> None:
    if state.background:
        await asyncio.wait(state.background, timeout=state.options.drain_s)
    for task in state.background:
        task.cancel()
    await asyncio.gather(*state.background, return_exceptions=True)


def listening_socket(options: ServeOptions) -> socket.socket:
    """Return a socket that listens; raise PortTaken where it cannot."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then: 40 ms an answer otherwise.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host.strip("[]"), options.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        place = f"port {options.port} on {options.host}"
        raise PortTaken(f"{place} cannot be used: {error.strerror or error}") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return where the socket listens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(state: ApiState) -> uvicorn.Config:
    return uvicorn.Config(
        create_application(state),
        loop="asyncio",
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(state.options.drain_s),
    )


def _redact_logs(settings: Settings) -> None:
    """Keep secrets out of everything that this process logs."""
    quiet_http_logging()
    for handler in logging.getLogger().handlers:
        handler.addFilter(RedactingFilter(settings.secrets()))
