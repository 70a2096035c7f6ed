"""One error tree; every leaf is named after what happens next.

SwitchyardError
├── BadInput                    exit 2: nothing was sent, nothing spent
│   ├── InvalidRequest, InvalidPolicy, InvalidConfiguration
│   ├── NotFound
│   └── IdempotencyConflict     the key was used for another request
├── Refused                     exit 3: a budget said no
│   ├── BudgetExceeded          more money or a new period is needed
│   ├── NoBudget                no active definition covers a paid call
│   ├── PriceUnknown            no price, or a price list that is too old
│   └── NoCandidate             every model was filtered out, with reasons
├── Waiting                     exit 4: parked or awaiting approval
├── WorldFailed                 exit 1: a part of the world does not work
│   ├── DatabaseFailed, PostgresFailed, PrefectFailed, PortTaken, DiskFull
│   └── AllAttemptsFailed       every attempt of the plan failed
└── UpstreamFailed              one attempt failed; `hold` and `next_step` say what follows
    ├── NeverSent               retry here, then the next model
    ├── Busy                    wait for `retry_after_s` once, then the next model
    ├── InFlightLimited         wait once, then park
    ├── AccountLimited          the whole account must wait: park or refuse
    ├── AccountOutOfMoney       the whole account has no money: park or refuse, alert
    ├── TooExpensive            a smaller or cheaper request may fit
    ├── ModelUnsuitable         the next model
    ├── RequestRejected         stop: no model will take this request
    ├── AccessDenied            stop: key, permission or moderation
    ├── OutcomeUnknown          may be billed: hold kept, the next model
    ├── BadAnswer               answered without a usable answer: settled if usage is known
    └── AnswerRejected          a paid answer failed its checks: the next in the plan

The hold and next step of each upstream leaf follow the failure table of docs/design.md.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from models.completion import Completion


class HoldFate(StrEnum):
    """What a failure does to the money held for its attempt."""

    KEPT = "kept"  # nothing was sent; the same attempt may be sent again
    RELEASED = "released"  # certainly not billed
    UNKNOWN = "unknown"  # perhaps billed: kept until reconciled
    SETTLED = "settled"  # billed, and the bill is known


class NextStep(StrEnum):
    """What the flow does after a failed attempt."""

    NEXT_MODEL = "next_model"
    WAIT_THEN_NEXT = "wait_then_next"
    WAIT_THEN_PARK = "wait_then_park"
    FIT_SMALLER = "fit_smaller"
    PARK = "park"
    STOP = "stop"


class SwitchyardError(Exception):
    """Root of every error that Switchyard raises on purpose."""

    exit_code: ClassVar[int] = 1


class BadInput(SwitchyardError):
    """The caller must change something; nothing was sent and nothing spent."""

    exit_code = 2


class InvalidRequest(BadInput):
    """The request document is wrong."""


class InvalidConfiguration(BadInput):
    """An option or environment variable is wrong."""


class NotFound(BadInput):
    """The named policy, decision or budget does not exist."""


class InvalidPolicy(BadInput):
    """A policy document is wrong; `problems` names every problem at once."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "policy refused: " + "; ".join(self.problems)


class IdempotencyConflict(BadInput):
    """The idempotency key was already used for a different request."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"idempotency key {self.key!r} was already used for a different request"


class Refused(SwitchyardError):
    """A budget, or the lack of one, forbids the call."""

    exit_code = 3


class BudgetExceeded(Refused):
    """The hold does not fit in what is left; `blocking` names the budgets that said no."""

    def __init__(
        self, needed_usd: Decimal, remaining_usd: Decimal, blocking: tuple[str, ...]
    ) -> None:
        super().__init__(needed_usd, remaining_usd, blocking)  # raw values, so that it pickles
        self.needed_usd, self.remaining_usd, self.blocking = needed_usd, remaining_usd, blocking

    def __str__(self) -> str:
        return (
            f"needs ${self.needed_usd:f}, only ${self.remaining_usd:f} left"
            f" (blocked by {', '.join(self.blocking)})"
        )


class NoBudget(Refused):
    """No active budget definition covers this paid call."""


class PriceUnknown(Refused):
    """The model has no known price, or the price list is stale."""


class NoCandidate(Refused):
    """No model of the policy can take the request; `reasons` has one line a model."""

    def __init__(self, reasons: tuple[str, ...], *, money: bool = False) -> None:
        super().__init__(reasons)
        self.reasons = reasons
        self.money = money

    def __reduce__(self) -> tuple[object, ...]:
        return _no_candidate, (self.reasons, self.money)

    def __str__(self) -> str:
        return "no model can take this request: " + "; ".join(self.reasons)


def _no_candidate(reasons: tuple[str, ...], money: bool) -> NoCandidate:
    return NoCandidate(reasons, money=money)


class Waiting(SwitchyardError):
    """The request is parked or awaits a person's approval."""

    exit_code = 4


class WorldFailed(SwitchyardError):
    """Something outside does not work: upstream, port, disk, key, database."""


class DatabaseFailed(WorldFailed):
    """The ledger's database did not answer, or refused: no paid call is made."""


class PostgresFailed(WorldFailed):
    """The embedded PostgreSQL could not be started or stopped."""


class PrefectFailed(WorldFailed):
    """The Prefect server could not be started or reached."""


class PortTaken(WorldFailed):
    """The port is in use by another process."""


class DiskFull(WorldFailed):
    """No space is left on the device."""


class UpstreamFailed(WorldFailed):
    """One attempt failed; the class says what it cost and what comes next.

    `message` is the upstream's own text, shortened and without secrets. `completion` is set
    where an answer with known usage came back. `generation_id` is set once headers arrived.
    """

    hold: ClassVar[HoldFate] = HoldFate.UNKNOWN
    next_step: ClassVar[NextStep] = NextStep.NEXT_MODEL
    kind: ClassVar[str] = "upstream"

    def __init__(
        self,
        message: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        generation_id: str | None = None,
        completion: Completion | None = None,
    ) -> None:
        super().__init__(message, status, retry_after_s, generation_id, completion)
        self.message, self.status, self.retry_after_s = message, status, retry_after_s
        self.generation_id, self.completion = generation_id, completion

    def __str__(self) -> str:
        return self.message if self.status is None else f"{self.status}: {self.message}"


class NeverSent(UpstreamFailed):
    """Refused connection, DNS, TLS or pool timeout: not a byte left; retried by the adapter."""

    hold, next_step, kind = HoldFate.KEPT, NextStep.NEXT_MODEL, "connection"


class Busy(UpstreamFailed):
    """429 of the shared pool, 503 or 529 before any token: wait `retry_after_s` once."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.WAIT_THEN_NEXT, "busy"


class InFlightLimited(UpstreamFailed):
    """402 because too much estimated spend is in flight: wait once, then park."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.WAIT_THEN_PARK, "in_flight_limit"


class AccountLimited(UpstreamFailed):
    """429 of the account's or key's own limit: every model is limited."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.PARK, "account_limit"


class AccountOutOfMoney(UpstreamFailed):
    """402 or 403: credits, key, guardrail or workspace budget are spent."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.PARK, "account_money"


class TooExpensive(UpstreamFailed):
    """402 "can only afford N", weight over budget or prompt limit: smaller or cheaper may fit."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.FIT_SMALLER, "too_expensive"


class ModelUnsuitable(UpstreamFailed):
    """400, 404 or 413 caused by this model: unknown, context too small, ability missing."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.NEXT_MODEL, "model_unsuitable"


class RequestRejected(UpstreamFailed):
    """400, 413 or 422: no model would take this request."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.STOP, "bad_request"


class AccessDenied(UpstreamFailed):
    """401 or 403: refused key, permission or moderation."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.STOP, "access_denied"


class OutcomeUnknown(UpstreamFailed):
    """408, 5xx, timeout, cut stream or malformed body after sending: perhaps billed."""

    hold, next_step, kind = HoldFate.UNKNOWN, NextStep.NEXT_MODEL, "unknown"


class BadAnswer(UpstreamFailed):
    """200 with an error inside, finish_reason error, or an empty answer.

    Settled as `completion.usage` says, else unknown (see `hold_fate`).
    """

    hold, next_step, kind = HoldFate.SETTLED, NextStep.NEXT_MODEL, "bad_answer"


class AnswerRejected(UpstreamFailed):
    """A complete, paid answer failed the request's own checks."""

    hold, next_step, kind = HoldFate.SETTLED, NextStep.NEXT_MODEL, "answer_rejected"


class AllAttemptsFailed(WorldFailed):
    """Every attempt of the plan failed; `failures` has one line an attempt."""

    def __init__(self, failures: tuple[str, ...]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        return "every attempt failed: " + "; ".join(self.failures)
