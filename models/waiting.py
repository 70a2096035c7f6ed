"""Work that waits, for money or for a person, and when it is looked at again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from models.errors import InFlightLimited, UpstreamFailed
from models.money import plain
from models.result import Status
from models.snapshot import BudgetRoom

IN_FLIGHT_REST_S = 60.0
ACCOUNT_REST_S = 15 * 60.0  # an account's limit turns, or a person pays: nobody says when
WAITING = frozenset({Status.PARKED, Status.AWAITING_APPROVAL})
Answer = Literal["approved", "denied", "expired"]


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person was asked, and the answer; `token` is the fence of the hold that waits.

    `answer` is None while nobody has answered. A hold that ran out before it was used is made
    anew: the answer stays.
    """

    decision_id: UUID
    selection_id: UUID
    attempt_no: int
    token: UUID
    amount_usd: Decimal
    expires_at: datetime
    answer: Answer | None = None
    approver: str | None = None
    note: str | None = None
    answered_at: datetime | None = None

    @property
    def is_refused(self) -> bool:
        """Whether a person said no, or nobody said anything in time."""
        return self.answer in ("denied", "expired")

    def reason(self) -> str:
        """Return the line that the result's reasons carry."""
        if self.answer is None:
            until = self.expires_at.strftime("%Y-%m-%d %H:%M %Z")
            return f"awaiting approval until {until}: ${plain(self.amount_usd)} is held"
        if self.answer == "expired":
            return f"nobody approved ${plain(self.amount_usd)} in time: the hold is released"
        note = f": {self.note}" if self.note else ""
        return f"{self.answer} by {self.approver or 'somebody'}{note}"


class Step(StrEnum):
    """What a sweep does next with a claimed row."""

    CHECK_MONEY = "check_money"
    GO_ON = "go_on"
    EXPIRE = "expire"
    END_LATE = "end_late"
    END_DENIED = "end_denied"
    WAKE = "wake"  # the request has ended; its run still waits to hear of it


@dataclass(frozen=True, slots=True)
class Waiting:
    """One row that a sweep has claimed.

    `waits_in_run` is the flow run that is suspended for it, or was triggered for it. The clocks
    are the database's: `deadline_passed`, `approval_expired`.
    """

    decision_id: UUID
    status: Status | str
    deadline_passed: bool
    waits_in_run: UUID | None
    answer: Answer | None
    approval_expired: bool
    priority: int
    policy_name: str | None
    worker_id: str | None
    task_id: UUID | None
    snapshot: dict[str, Any] | None

    def step(self) -> Step:
        """Return what comes next; a passed deadline goes before everything else."""
        if self.status not in WAITING:
            return Step.WAKE
        if self.deadline_passed:
            return Step.END_LATE
        if self.status == Status.PARKED:
            return Step.CHECK_MONEY
        if self.answer is None:
            return Step.EXPIRE
        return Step.GO_ON if self.answer == "approved" else Step.END_DENIED


@dataclass(frozen=True, slots=True)
class WaitingReport:
    """What a sweep did with waiting work; `left` has no money yet, or its run is on its way."""

    released: tuple[UUID, ...] = ()
    ended: tuple[UUID, ...] = ()
    woken: tuple[UUID, ...] = ()
    left: tuple[UUID, ...] = ()
    troubles: tuple[str, ...] = ()


def rest_s(failure: UpstreamFailed) -> float:
    """Return how long an account-wide limit lets parked work rest before it is tried again."""
    if failure.retry_after_s is not None:
        return failure.retry_after_s
    return IN_FLIGHT_REST_S if isinstance(failure, InFlightLimited) else ACCOUNT_REST_S


def money_back_at(budgets: Iterable[BudgetRoom], blocking: Iterable[str]) -> datetime | None:
    """Return when the last of the blocking budgets turns; None where one of them never does."""
    names = set(blocking)
    ends = [room.period_end for room in budgets if room.name in names]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None
