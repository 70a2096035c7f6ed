"""Why one attempt failed, what that does to its hold, and what comes next."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from models.errors.tree import WorldFailed

if TYPE_CHECKING:
    from models.completion import Completion
    from models.rate_limit import StatedLimit


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
    NEXT_THEN_PARK = "next_then_park"
    FIT_SMALLER = "fit_smaller"
    PARK = "park"
    STOP = "stop"


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
        self.visible = False  # set when part of the answer was already passed on to the caller
        self.generation_id, self.completion = generation_id, completion
        self.stated_limit: StatedLimit | None = None  # set where a 429 names its limit

    def __str__(self) -> str:
        return self.message if self.status is None else f"{self.status}: {self.message}"

    @property
    def hold_fate(self) -> HoldFate:
        """What this failure does to the hold; only BadAnswer differs from its class's `hold`."""
        return self.hold


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
    """429 of the account's or key's own limit: every model is limited; wait once, then park."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.WAIT_THEN_PARK, "account_limit"


class NoTurn(UpstreamFailed):
    """Nothing was sent or held: the model's rate limit has no room in time; another's may."""

    hold, next_step, kind = HoldFate.RELEASED, NextStep.NEXT_THEN_PARK, "rate_limit"


class NoTurnForAny(NoTurn):
    """The same for a limit of the key, which every model is under."""

    next_step = NextStep.PARK


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


class NotBatched(UpstreamFailed):
    """An upstream batch was refused, expired or left a line out: nothing was billed.

    The same model is asked at once in the ordinary way (`retry_after_s` is 0).
    """

    hold, next_step, kind = HoldFate.RELEASED, NextStep.WAIT_THEN_NEXT, "not_batched"


class OutcomeUnknown(UpstreamFailed):
    """408, 5xx, timeout, cut stream or malformed body after sending: perhaps billed."""

    hold, next_step, kind = HoldFate.UNKNOWN, NextStep.NEXT_MODEL, "unknown"


class LostRace(UpstreamFailed):
    """Cancelled because another model answered first; perhaps billed, its bill comes later."""

    hold, next_step, kind = HoldFate.UNKNOWN, NextStep.NEXT_MODEL, "cancelled"


class BadAnswer(UpstreamFailed):
    """200 with an error inside, finish_reason error, or an empty answer.

    Settled as `completion.usage` says, else unknown (see `hold_fate`).
    """

    hold, next_step, kind = HoldFate.SETTLED, NextStep.NEXT_MODEL, "bad_answer"

    @property
    def hold_fate(self) -> HoldFate:
        """SETTLED when the answer states its cost, else UNKNOWN.

        Most of these are free (zero-completion insurance), but plugin work may still be billed,
        so that a missing cost is never taken for zero (openrouter.ai/docs, 2026-08-22).
        """
        usage = None if self.completion is None else self.completion.usage
        stated = usage is not None and usage.cost_usd is not None
        return HoldFate.SETTLED if stated else HoldFate.UNKNOWN


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
