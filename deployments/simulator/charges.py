"""The ground truth: what every request really cost, one JSON line a charge.

A line is written before the first byte of its answer leaves, with O_APPEND in one write, so that
several simulators may share a file. A stream that is cancelled is written a second time with
`cancelled: true` and the amount that stays: per `generation_id` the last line counts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import orjson

from deployments.simulator.wire import Json, plain_text
from models.errors import DiskFull, InvalidConfiguration


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One charge. True spend is `cost`, plus `upstream_cost` when `is_byok`; both in USD.

    `key` is a fingerprint of the API key, `fault` the injected fault, `answer` whether the
    simulator meant the answer to be `good` or `poor`.
    """

    generation_id: str
    time: datetime
    key: str
    requested_model: str
    model: str
    provider: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal
    upstream_cost: Decimal
    is_byok: bool = False
    streamed: bool = False
    cancelled: bool = False
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    latency_ms: int = 0
    generation_ms: int = 0
    fault: str | None = None
    answer: str | None = None
    user: str | None = None
    session_id: str | None = None
    metadata: Json = field(default_factory=dict)

    @property
    def true_cost(self) -> Decimal:
        """What was spent in all, the provider's own bill under BYOK included."""
        return self.cost + self.upstream_cost if self.is_byok else self.cost

    def line(self) -> bytes:
        """Return the log line; money as decimal strings."""
        return orjson.dumps(self, default=money_text) + b"\n"


def money_text(value: object) -> str:
    """Write a Decimal as a string of digits."""
    if isinstance(value, Decimal):
        return plain_text(value)
    raise TypeError(f"{type(value).__name__} has no place in a charge log")


def charge_of(line: bytes) -> Charge:
    """Read a log line; raise InvalidConfiguration when it is none."""
    try:
        document = orjson.loads(line)
        document["time"] = datetime.fromisoformat(document["time"])
        for name in ("cost", "upstream_cost"):
            document[name] = Decimal(document[name])
        return Charge(**document)
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise InvalidConfiguration(f"not a line of a charge log: {line[:80]!r}") from error


def read_charges(path: Path) -> list[Charge]:
    """Return the charges of a log file, the last line of each generation, oldest first."""
    charges = (charge_of(line) for line in path.read_bytes().splitlines())
    return list({charge.generation_id: charge for charge in charges}.values())


class ChargeLog:
    """The charges of one file, or of memory without a path; safe to read from other threads."""

    def __init__(self, path: Path | None = None) -> None:
        self._by_id: dict[str, Charge] = {}
        self._total = Decimal(0)
        self._lock = threading.Lock()
        self._offset = 0
        self._file: int | None = None
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise DiskFull(f"cannot write charge log {str(path)!r}: {error.strerror}") from error
        self.refresh()

    def append(self, charge: Charge) -> None:
        """Make a charge durable against the end of this process; raise OSError when it is not."""
        line = charge.line()
        if self._file is None:
            with self._lock:
                self._put(charge)
        elif os.write(self._file, line) != len(line):
            raise OSError("the charge log took only a part of a line")

    def refresh(self) -> None:
        """Read what this process and others have appended since the last time."""
        if self._file is None:
            return
        with self._lock:
            for line in self._new_lines(self._file):
                self._put(charge_of(line))

    def _put(self, charge: Charge) -> None:
        before = self._by_id.get(charge.generation_id)
        self._total += charge.cost - (before.cost if before else 0)
        self._by_id[charge.generation_id] = charge

    def _new_lines(self, file: int) -> Iterator[bytes]:
        size = os.fstat(file).st_size - self._offset
        if size <= 0:
            return
        data = os.pread(file, size, self._offset)
        whole, _, _ = data.rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        yield from whole.splitlines()

    def charges(self) -> list[Charge]:
        """Return every charge, the last line of each generation, oldest first."""
        self.refresh()
        with self._lock:
            return list(self._by_id.values())

    def find(self, generation_id: str) -> Charge | None:
        """Return the charge of a generation."""
        self.refresh()
        with self._lock:
            return self._by_id.get(generation_id)

    def total_usd(self) -> Decimal:
        """Return what was debited in all."""
        self.refresh()
        return self._total

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
