"""Rate limits of the upstream: what a person may set, and what a 429 teaches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import AccountLimited, Busy, InvalidRequest, UpstreamFailed

EVERY_CALL = "*"
FREE_CALLS = "*:free"  # OpenRouter counts the calls of its free models by themselves
MINUTE_S = 60.0
# What is said of a wait is believed for a quarter of an hour, then a call finds out. A pace is kept
# for an hour: finding out costs a 429 for each call that is then under way.
BLOCK_S_MAX = 15 * 60.0
KEEP_S = 60 * 60.0


@dataclass(frozen=True, slots=True)
class StatedLimit:
    """What an upstream says of a limit of its own: calls a window, and when there is room again."""

    requests: int
    reset_after_s: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a 429 teaches of one scope.

    Nothing is sent for `blocked_s`; after that `requests` go in `period_s`, None is no number.
    All of it is forgotten after `keep_s`, unless it is taught again.
    """

    scope: str
    blocked_s: float
    requests: int | None
    period_s: float
    keep_s: float


def lesson_of(failure: UpstreamFailed, model_id: str) -> Lesson | None:
    """Return what a failed call teaches all others; None when it is no 429 that names a time.

    An own limit concerns every call of the key, on a free model every call of a free one; a busy
    pool only the model. A stated number of calls is a pace only where its window is a minute: one
    that ends later (a day's) is no reason to spread calls over it.
    """
    wait_s = failure.retry_after_s
    if failure.status != 429 or wait_s is None:
        return None
    if isinstance(failure, AccountLimited):
        scope = FREE_CALLS if model_id.endswith(":free") else EVERY_CALL
    elif isinstance(failure, Busy):
        scope = model_id
    else:
        return None
    stated, requests = failure.stated_limit, None
    if stated is not None and stated.requests > 0 and stated.reset_after_s <= MINUTE_S:
        requests = stated.requests
    if wait_s <= 0 and requests is None:
        return None
    blocked_s = min(wait_s, BLOCK_S_MAX)
    keep_s = blocked_s if requests is None else blocked_s + KEEP_S
    return Lesson(scope, blocked_s, requests, MINUTE_S, keep_s)


class LimitOrder(BaseModel):
    """A limit to set; without a number of requests and a concurrency it is taken away."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^(\*|\*:free|[^/\s\x00]+/[^/\s\x00]+)$",
        description='A model id, "*" for every call of the key, "*:free" for its free models',
    )
    requests: int | None = Field(None, ge=1, le=1_000_000, description="Calls in a period")
    period_s: float = Field(MINUTE_S, ge=0.1, le=86_400, allow_inf_nan=False)
    concurrency: int | None = Field(None, ge=1, le=100_000, description="Calls under way at once")

    @property
    def removes(self) -> bool:
        """Whether nothing is limited any more."""
        return self.requests is None and self.concurrency is None


class RateLimit(BaseModel):
    """One limit with what it did: `turns` were given, `waits` of them later than asked for.

    `refusals` had no turn in time, `lessons` are the 429 that taught it. `blocked_until` and
    `expires_at` are None where nothing blocks and nothing ends.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    source: Literal["set", "learned"]
    requests: int | None
    period_s: float
    concurrency: int | None
    blocked_until: datetime | None
    expires_at: datetime | None
    waiting: int
    running: int
    turns: int
    waits: int
    waited_s: float
    refusals: int
    lessons: int


def parse_limit(document: object) -> LimitOrder:
    """Return the order of a document; raises InvalidRequest naming every problem."""
    try:
        return LimitOrder.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'limit'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise InvalidRequest(problems) from error
