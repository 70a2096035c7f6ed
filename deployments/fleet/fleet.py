"""The parent of several API processes: it listens, hands connections over, keeps them running."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import selectors
import shutil
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from deployments.api import ServeOptions
from deployments.api.service import demand_key, listening_socket, url_of
from deployments.edge import hearing_signals
from deployments.fleet.counts import SharedCounts, shared_memory
from deployments.fleet.order import Order
from deployments.fleet.place import Place
from deployments.preparation import prepared_runtime
from deployments.up_file import process_started_at
from models.errors import WorldFailed
from tasks.adapters.settings import Settings

LOOK_EVERY_S = 0.25
STOP_MARGIN_S = 20.0
METRICS = "metrics-"
logger = logging.getLogger("switchyard.api")


def run_fleet(
    settings: Settings, options: ServeOptions, processes: int, *, on_ready: Callable[[str], None]
) -> None:
    """Serve with several processes until SIGINT or SIGTERM, then let what runs come to its end.

    Raises PortTaken, whatever the database lacks, and WorldFailed when a process cannot start.
    """
    with contextlib.closing(listening_socket(options)) as listener, _orders() as told:
        asyncio.run(_prepare(settings, options))
        with _metrics_folder(settings.home) as metrics:
            fleet = Fleet(listener, _places(listener, options, processes, metrics))
            try:
                fleet.serve(told, on_ready)
            finally:
                listener.close()
                fleet.stop(options.drain_s + STOP_MARGIN_S)
    if told[:1] == [signal.SIGINT]:
        raise KeyboardInterrupt


class Fleet:
    """The processes, and the door that all connections come through."""

    def __init__(self, listener: socket.socket, places: list[Place]) -> None:
        self._listener, self._places = listener, places
        self._selector = selectors.DefaultSelector()
        self._listens = False
        self._waiting: deque[socket.socket] = deque()  # accepted, and with no process yet
        listener.setblocking(False)

    def serve(self, told: list[int], on_ready: Callable[[str], None]) -> None:
        """Keep the processes running until a signal was told; say so once all are ready."""
        announced = False
        while not told:
            for place in self._places:
                if place.is_due():
                    self._selector.register(place.start(), selectors.EVENT_READ, place)
            self._hand_out()
            self._listen_if(not self._waiting and any(place.is_open for place in self._places))
            if not announced and all(place.was_ready for place in self._places):
                announced = True
                on_ready(url_of(self._listener))
            for key, _ in self._selector.select(LOOK_EVERY_S):
                self._attend(key.data, announced=announced)

    def stop(self, timeout_s: float) -> None:
        """Ask every process to end, wait, and kill what has not ended."""
        for place in self._places:
            place.ask_to_end()
        until_s = time.monotonic() + timeout_s
        for place in self._places:
            place.wait(until_s)
            self._waiting.extend(place.untaken())
        for connection in self._waiting:
            connection.close()
        self._selector.close()

    def _attend(self, place: Place | None, *, announced: bool) -> None:
        if place is None:
            self._accept()
            return
        door = place.door
        if door is None or place.hear():
            return
        self._selector.unregister(door)
        self._waiting.extend(place.untaken())
        ended, pause_s = place.bury()
        if not announced:
            raise WorldFailed(f"{place.name} {ended} before all were ready")
        logger.warning("%s %s; another one is started in %s s", place.name, ended, pause_s)

    def _listen_if(self, wanted: bool) -> None:
        """Leave connections in the system's queue while nobody can take them."""
        if wanted and not self._listens:
            self._selector.register(self._listener, selectors.EVENT_READ, None)
        elif self._listens and not wanted:
            self._selector.unregister(self._listener)
        self._listens = wanted

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # it went away again
            return
        except OSError as trouble:  # say, no descriptor is free: those that wait go on waiting
            logger.warning("no connection can be accepted: %s", trouble)
            time.sleep(LOOK_EVERY_S)
            return
        self._waiting.append(connection)

    def _hand_out(self) -> None:
        """Hand what waits to the process with the fewest connections, if any takes it."""
        while self._waiting:
            by_load = sorted(self._places, key=lambda place: place.load)
            if not any(place.take(self._waiting[0]) for place in by_load):
                return
            self._waiting.popleft()


def _places(
    listener: socket.socket, options: ServeOptions, processes: int, metrics: Path
) -> list[Place]:
    counts_fd = shared_memory()
    counts = SharedCounts(counts_fd, processes=processes, number=0)
    orders = (
        Order(number, processes, url_of(listener), -1, counts_fd, str(metrics), options)
        for number in range(processes)
    )
    return [Place(order, counts) for order in orders]


async def _prepare(settings: Settings, options: ServeOptions) -> None:
    """Make the database ready once, and refuse what no process could serve."""
    async with prepared_runtime(settings) as opened:
        await demand_key(opened, options)


@contextlib.contextmanager
def _orders() -> Iterator[list[int]]:
    """Yield the list that signals are told to."""
    told: list[int] = []

    def tell(number: int, frame: FrameType | None) -> None:
        told.append(number)

    with hearing_signals(tell):
        yield told


@contextlib.contextmanager
def _metrics_folder(home: Path) -> Iterator[Path]:
    """Yield a folder for the counters of all processes; remove those that were left behind."""
    for left in home.glob(f"{METRICS}[0-9]*"):
        if process_started_at(int(left.name.removeprefix(METRICS))) is None:
            shutil.rmtree(left, ignore_errors=True)
    folder = home / f"{METRICS}{os.getpid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
