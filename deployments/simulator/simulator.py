"""The state of one simulator: its options, charges, faults and counters."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from deployments.simulator.charges import ChargeLog
from deployments.simulator.config import SimulatorConfig
from deployments.simulator.faults import FaultBoard

if TYPE_CHECKING:
    from deployments.simulator.batches import SimulatedBatch


class Simulator:
    """One simulated OpenRouter account."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.log = ChargeLog(config.charge_log)
        self.faults = FaultBoard(config.faults, seed=config.seed)
        self.limiter = RateLimiter()
        self.batches: dict[str, SimulatedBatch] = {}
        self.answers: Counter[str] = Counter()  # requests by path and status
        self.generation_polls: Counter[str] = Counter()
        self.started_at = config.clock()

    def credits_left_usd(self) -> Decimal | None:
        """Return what is left of the credits; None without a limit."""
        limit = self.config.credit_limit_usd
        return None if limit is None else limit - self.log.total_usd()

    def free_at_for_model(self, model_id: str) -> datetime | None:
        """Count a request against its model's rate; return when there is room while it is full."""
        rates = self.config.requests_per_minute
        rate = rates.get(model_id, rates.get("*"))
        return None if rate is None else self._free_at(model_id, rate)

    def free_at_for_account(self) -> datetime | None:
        """Count a request against the account's own limit; return when there is room again."""
        rate = self.config.account_requests
        return None if rate is None else self._free_at("account", rate)

    def _free_at(self, name: str, rate: int) -> datetime | None:
        window = timedelta(seconds=self.config.rate_window_s)
        return self.limiter.free_at(name, rate, window, self.config.clock())


class RateLimiter:
    """A sliding window for each name."""

    def __init__(self) -> None:
        self._times: dict[str, deque[datetime]] = {}

    def free_at(self, name: str, rate: int, window: timedelta, now: datetime) -> datetime | None:
        """Return None and count the request, or when there is room again."""
        times = self._times.setdefault(name, deque())
        while times and now - times[0] >= window:
            times.popleft()
        if len(times) < rate:
            times.append(now)
            return None
        return (times[0] if times else now) + window
