"""What the parent tells an API process at its start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from deployments.api import ServeOptions


@dataclass(frozen=True, slots=True)
class Order:
    """What the parent tells a process at its start; the descriptors are inherited."""

    number: int
    processes: int
    url: str
    door_fd: int
    counts_fd: int
    metrics: str
    options: ServeOptions

    def written(self) -> str:
        """Return the order as one argument."""
        return json.dumps(asdict(self))


def read_order(text: str) -> Order:
    """Return the order of an argument."""
    document = json.loads(text)
    return Order(**document | {"options": ServeOptions(**document["options"])})
