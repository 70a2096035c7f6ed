"""One of several API processes: `python -m deployments.child deployments.fleet.member ORDER`."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

from deployments.api import run_api
from deployments.api.seat import Seat
from deployments.edge import run_to_exit
from deployments.fleet.counts import SharedCounts
from deployments.fleet.order import Order, read_order
from tasks.adapters.settings import read_settings


def serve(order: Order) -> int:
    """Serve what the parent hands over, until it or a signal says that this is all."""
    counts = SharedCounts(order.counts_fd, processes=order.processes, number=order.number)
    door = socket.socket(fileno=order.door_fd)
    seat = Seat(order.url, door, counts, order.metrics)
    run_api(read_settings(), order.options, on_ready=_nothing, seat=seat)
    return 0


def _nothing(url: str) -> None:
    """Say nothing: the parent announces the address, once."""


def main(arguments: Sequence[str]) -> None:
    """Run it as a process."""
    run_to_exit(lambda: serve(read_order(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
