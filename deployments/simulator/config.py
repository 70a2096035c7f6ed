"""What a simulator can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from deployments.simulator.faults import FaultRule
from models.errors import InvalidConfiguration


class UsageChunk(StrEnum):
    """How a stream tells its usage; all three were seen on the wire in 2026."""

    EMPTY_CHOICES = "empty_choices"  # as documented: a last chunk with `choices: []`
    REPEATED_FINISH = "repeated_finish"  # the last chunk repeats the finish_reason
    NULL_FINISH = "null_finish"  # the last chunk has a choice with finish_reason null


def utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """Options of one simulator.

    `latency_scale` multiplies realistic times (0.4 s to the first token, 50 to 190 tokens a
    second); 0 answers at once. `requests_per_minute` and `success_probability` are by model id,
    `*` for the rest; a success probability may also be for one kind of task (`model#code`, kinds
    in `task_kind`). `account_requests` bounds all requests of the account in every span of
    `rate_window_s`, which the models' rates count in, too. `generation_lag_polls` is how often
    `/generation` answers 404 first. A batch is worked off `batch_seconds` after it came, its items
    `batch_discount` below the list price; `batch_item_costs` adds each item's cost to its usage.
    `credit_limit_usd` is the account's credits and the key's
    limit.
    """

    seed: int = 0
    latency_scale: float = 0.2
    charge_log: Path | None = None
    refuse_key: bool = False
    accepted_keys: frozenset[str] = frozenset()
    requests_per_minute: Mapping[str, int] = field(default_factory=dict)
    account_requests: int | None = None
    rate_window_s: float = 60.0
    credit_limit_usd: Decimal | None = None
    success_probability: Mapping[str, float] = field(default_factory=dict)
    usage_chunk: UsageChunk = UsageChunk.EMPTY_CHOICES
    generation_lag_polls: int = 0
    batch_seconds: float = 0.5
    batch_discount: Decimal = Decimal("0.5")
    batch_item_costs: bool = False
    faults: tuple[FaultRule, ...] = ()
    clock: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        if self.latency_scale < 0:
            raise InvalidConfiguration(f"latency scale must be 0 or more: {self.latency_scale!r}")
        if self.rate_window_s <= 0 or (self.account_requests or 0) < 0:
            raise InvalidConfiguration("a rate's window must be above 0, its requests 0 or more")
        if not 0 <= self.batch_discount <= 1 or self.batch_seconds < 0:
            raise InvalidConfiguration("a batch's discount must be 0 to 1, its seconds 0 or more")
        for name, rate in self.requests_per_minute.items():
            if rate < 0:
                raise InvalidConfiguration(f"requests per minute of {name!r} below 0: {rate!r}")
        for name, share in self.success_probability.items():
            if not 0 <= share <= 1:
                raise InvalidConfiguration(f"success probability of {name!r}: {share!r} not 0..1")
