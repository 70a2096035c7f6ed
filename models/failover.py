"""What follows a failed attempt: wait and ask again, the next model, parking, or the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from models.errors import NextStep, UpstreamFailed

WAIT_S_MAX = 60.0


class Move(StrEnum):
    """The flow's next move."""

    NEXT = "next"
    NEXT_OR_PARK = "next_or_park"
    WAIT = "wait"
    PARK = "park"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class NextMove:
    """A move, and how long to wait before asking the same model again."""

    move: Move
    wait_s: float = 0.0


def next_move(failure: UpstreamFailed, *, waited: bool, left_s: float) -> NextMove:
    """Return the next move by the failure table of docs/design.md.

    `waited` says that this model was already waited for once, `left_s` is what the deadline
    leaves. A failure that the caller has seen part of an answer of is final.
    """
    if failure.visible:
        return NextMove(Move.STOP)
    match failure.next_step:
        case NextStep.WAIT_THEN_NEXT:
            return _wait_or(Move.NEXT, failure, waited=waited, left_s=left_s)
        case NextStep.WAIT_THEN_PARK:
            return _wait_or(Move.PARK, failure, waited=waited, left_s=left_s)
        case NextStep.NEXT_MODEL | NextStep.FIT_SMALLER:
            return NextMove(Move.NEXT)
        case NextStep.NEXT_THEN_PARK:
            return NextMove(Move.NEXT_OR_PARK)
        case NextStep.PARK:
            return NextMove(Move.PARK)
        case NextStep.STOP:
            return NextMove(Move.STOP)


def _wait_or(otherwise: Move, failure: UpstreamFailed, *, waited: bool, left_s: float) -> NextMove:
    """Wait as long as asked, once, when it is at most a minute and within the deadline."""
    wait_s = failure.retry_after_s
    if waited or wait_s is None or wait_s > min(WAIT_S_MAX, left_s):
        return NextMove(otherwise)
    return NextMove(Move.WAIT, wait_s)
