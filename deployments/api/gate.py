"""What may run at once and per minute: of everybody, and of each caller."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from deployments.api.access import Principal
from deployments.api.problems import ApiProblem


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a caller may still ask for at once; it fills evenly, and holds a minute's worth."""

    left: float
    filled_at_s: float

    def filled(self, rate: int, now_s: float) -> Bucket:
        """Return what it holds now, at `rate` requests a minute."""
        more = (now_s - self.filled_at_s) * rate / 60
        return Bucket(min(float(rate), self.left + more), now_s)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one caller stands: requests that run, and the bucket as it was left."""

    running: int
    bucket: Bucket | None


class Counts(Protocol):
    """Counts requests; `name` is that of a caller with a limit, None of any other."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep others from counting meanwhile."""

    def total(self) -> int:
        """Return how many requests run."""

    def standing(self, name: str) -> Standing:
        """Return how a caller stands."""

    def enter(self, name: str | None, bucket: Bucket | None) -> None:
        """Count a request that begins, and keep what it leaves in its caller's bucket."""

    def leave(self, name: str | None) -> None:
        """Count a request that has ended."""


class OwnCounts:
    """The counts of a process that is alone."""

    def __init__(self) -> None:
        self._total = 0
        self._running: dict[str, int] = {}
        self._buckets: dict[str, Bucket] = {}

    def locked(self) -> AbstractContextManager[None]:
        """Do nothing: the requests of one process share a thread."""
        return contextlib.nullcontext()

    def total(self) -> int:
        """Return how many requests run."""
        return self._total

    def standing(self, name: str) -> Standing:
        """Return how a caller stands."""
        return Standing(self._running.get(name, 0), self._buckets.get(name))

    def enter(self, name: str | None, bucket: Bucket | None) -> None:
        """Count a request that begins."""
        self._total += 1
        if name is not None:
            self._running[name] = self._running.get(name, 0) + 1
            if bucket is not None:
                self._buckets[name] = bucket

    def leave(self, name: str | None) -> None:
        """Count a request that has ended."""
        self._total -= 1
        if name is not None:
            self._running[name] -= 1


class Gate:
    """Lets requests through as far as the limits allow, those of all processes together."""

    def __init__(
        self, concurrent_max: int, requests_per_minute: int | None, counts: Counts | None = None
    ) -> None:
        self._concurrent_max, self._per_minute = concurrent_max, requests_per_minute
        self._counts = OwnCounts() if counts is None else counts

    @property
    def running(self) -> int:
        """How many requests run now."""
        return self._counts.total()

    @contextlib.contextmanager
    def passing(self, caller: Principal) -> Iterator[None]:
        """Let a request through while it runs; raises 429."""
        rate = caller.requests_per_minute or self._per_minute
        bounded = rate is not None or caller.concurrent_max is not None
        name = caller.name if bounded else None
        with self._counts.locked():
            if self._counts.total() >= self._concurrent_max:
                raise too_many("too many requests at once", 1)
            self._counts.enter(name, self._admitted(caller, rate) if bounded else None)
        try:
            yield
        finally:
            with self._counts.locked():
                self._counts.leave(name)

    def _admitted(self, caller: Principal, rate: int | None) -> Bucket | None:
        """Return what the request leaves in its caller's bucket."""
        standing, most = self._counts.standing(caller.name), caller.concurrent_max
        if most is not None and standing.running >= most:
            raise too_many(f"this key may run {most} requests at once", 1)
        if rate is None:
            return None
        now_s = time.monotonic()
        full = Bucket(float(rate), now_s)
        bucket = full if standing.bucket is None else standing.bucket.filled(rate, now_s)
        if bucket.left < 1:
            wait_s = int((1 - bucket.left) * 60 / rate) + 1
            raise too_many(f"this key may make {rate} requests a minute", wait_s)
        return Bucket(bucket.left - 1, now_s)


def too_many(detail: str, wait_s: int) -> ApiProblem:
    """Return the problem of a caller that is to come again after a while."""
    return ApiProblem(429, detail, headers={"Retry-After": str(wait_s)})
