"""The state of one simulator: its options, charges, faults and counters."""

from __future__ import annotations

import math
from collections import Counter, deque
from datetime import datetime, timedelta
from decimal import Decimal

from deployments.simulator.charges import ChargeLog
from deployments.simulator.config import SimulatorConfig
from deployments.simulator.faults import FaultBoard

MINUTE = timedelta(minutes=1)


class Simulator:
    """One simulated OpenRouter account."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.log = ChargeLog(config.charge_log)
        self.faults = FaultBoard(config.faults, seed=config.seed)
        self.limiter = RateLimiter()
        self.answers: Counter[str] = Counter()  # requests by path and status
        self.generation_polls: Counter[str] = Counter()
        self.started_at = config.clock()

    def credits_left_usd(self) -> Decimal | None:
        """Return what is left of the credits; None without a limit."""
        limit = self.config.credit_limit_usd
        return None if limit is None else limit - self.log.total_usd()

    def wait_for_model(self, model_id: str) -> int | None:
        """Count a request against its model's rate; return the seconds to wait when it is full."""
        rates = self.config.requests_per_minute
        rate = rates.get(model_id, rates.get("*"))
        return None if rate is None else self.limiter.wait_s(model_id, rate, self.config.clock())


class RateLimiter:
    """A sliding window of a minute for each model."""

    def __init__(self) -> None:
        self._times: dict[str, deque[datetime]] = {}

    def wait_s(self, name: str, rate: int, now: datetime) -> int | None:
        """Return None and count the request, or the whole seconds until there is room."""
        times = self._times.setdefault(name, deque())
        while times and now - times[0] >= MINUTE:
            times.popleft()
        if len(times) < rate:
            times.append(now)
            return None
        oldest = times[0] if times else now
        return max(1, math.ceil((oldest + MINUTE - now).total_seconds()))
