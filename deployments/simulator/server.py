"""The simulator as a running HTTP server on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from deployments.edge import hearing_signals
from deployments.simulator.app import API, create_app
from deployments.simulator.charges import Charge
from deployments.simulator.config import SimulatorConfig
from deployments.simulator.faults import FaultRule
from deployments.simulator.simulator import Simulator
from models.errors import PortTaken, WorldFailed

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 15.0
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that answers at `url`; `simulator` is its inside, for tests."""

    root_url: str
    simulator: Simulator

    @property
    def url(self) -> str:
        """The base URL for a client, ending in /api/v1."""
        return self.root_url + API

    @property
    def charges(self) -> list[Charge]:
        """Every charge so far, oldest first."""
        return self.simulator.log.charges()

    def add_fault(self, rule: FaultRule) -> int:
        """Put a fault in force and return its number."""
        return self.simulator.faults.add(rule)

    def clear_faults(self) -> None:
        """Remove every fault."""
        self.simulator.faults.clear()


class Server(uvicorn.Server):
    """uvicorn, but a signal ends it cleanly with exit code 0 and not by the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM ask for the end; only the main thread may."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with hearing_signals(self.ask_to_end):
            yield

    def ask_to_end(self, number: int, frame: FrameType | None) -> None:
        """End at the next tick."""
        self.should_exit = True


def listening_socket(port: int) -> socket.socket:
    """Return a socket on loopback that listens; raise PortTaken when somebody else does."""
    # The protocol is named because asyncio sets TCP_NODELAY only then: 40 ms an answer otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(f"port {port} on {LOOPBACK} cannot be used: {error.strerror}") from error
    return listener


def server_for(app: Starlette) -> Server:
    """Return a quiet server; requests that hang do not delay its end."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="auto",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        timeout_graceful_shutdown=0,
    )
    return Server(config)


@contextlib.contextmanager
def running_simulator(config: SimulatorConfig, *, port: int = 0) -> Iterator[RunningSimulator]:
    """Run a simulator in a thread of this process; raise PortTaken when the port is not free."""
    app = create_app(config)
    simulator: Simulator = app.state.simulator
    with contextlib.closing(simulator.log), contextlib.closing(listening_socket(port)) as listener:
        server = server_for(app)
        thread = threading.Thread(
            target=server.run, args=([listener],), name="simulator", daemon=True
        )
        thread.start()
        try:
            wait_until_started(server, thread)
            yield RunningSimulator(root_url_of(listener), simulator)
        finally:
            server.should_exit = True
            thread.join(START_TIMEOUT_S)


def root_url_of(listener: socket.socket) -> str:
    """Return where the socket listens."""
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"


def wait_until_started(server: Server, thread: threading.Thread) -> None:
    """Return once the server answers; raise WorldFailed when it does not."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise WorldFailed("the simulator did not start")
        time.sleep(0.005)
