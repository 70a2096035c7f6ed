"""The course of a decision's attempts: who is left to ask, how long it may take, what it led to."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from flows.agreement import Compared
from models.agreement import contradicted
from models.attempt import Candidate
from models.completion import Completion
from models.decision import Answered, Arrival, Ending
from models.plan import Plan
from models.result import Hedged, Status
from models.snapshot import Snapshot


@dataclass(slots=True)
class Course:
    """How far the attempts of a decision have come; `compared` is what two models answered."""

    waiting: deque[Candidate]
    number: int
    ends_at: datetime | None
    end_reason: str
    asks_two: bool = False
    status: Status = Status.FAILED
    waited_for: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    resume_after: datetime | None = None
    rest_s: float | None = None
    compared: Compared | None = None
    hedged: Hedged | None = None

    def left_s(self) -> float:
        """Return how long the attempts may still take."""
        if self.ends_at is None:
            return 3600.0
        return (self.ends_at - datetime.now(UTC)).total_seconds()

    def ending(self, plan: Plan, status: Status, completion: Completion | None = None) -> Ending:
        """Return the ending that this course leads to.

        Where two models differ and no third one answered, a paid answer is better than none.
        """
        spare = () if self.compared is None else self.compared.answers
        if spare and completion is None:
            return self._unconfirmed(plan, spare)
        aside = () if completion is None else contradicted(spare, completion)
        reasons = tuple(self.reasons)
        made = Ending(plan, status, completion, reasons, set_aside=aside, hedged=self.hedged)
        if status is not Status.PARKED:
            return made
        return replace(made, resume_after=self.resume_after, rest_s=self.rest_s)

    def confirmed_ending(self, plan: Plan) -> Ending | None:
        """Return the ending with the cheaper model's answer, when another one gave the same."""
        if self.compared is None or not self.compared.do_agree:
            return None
        answer, reasons = self.compared.answers[0], tuple(self.reasons)
        return Ending(plan, Status.COMPLETED, answer.completion, reasons, model_id=answer.model_id)

    def _unconfirmed(self, plan: Plan, spare: Sequence[Answered]) -> Ending:
        *others, best = spare
        return Ending(
            plan,
            Status.COMPLETED,
            best.completion,
            (*self.reasons, f"the answer of {best.model_id} is given, unconfirmed"),
            model_id=best.model_id,
            set_aside=tuple(one.attempt_no for one in others),
            is_unconfirmed=True,
        )


def begun(arrival: Arrival, snapshot: Snapshot, plan: Plan) -> Course:
    """Return the course of a plan; a chain has a time of its own beside the deadline."""
    ends_at, reason = arrival.deadline_at, "the deadline has passed"
    max_s = snapshot.policy.escalation_max_s
    if plan.escalates and max_s is not None:
        chain_ends_at = arrival.arrived_at + timedelta(seconds=max_s)
        if ends_at is None or chain_ends_at < ends_at:
            ends_at, reason = chain_ends_at, f"the {max_s:g} s of the whole chain have passed"
    made = arrival.attempts_made
    asks_two = plan.chain is not None and plan.chain.asks_two and not made
    course = Course(deque(plan.remaining(made)), made, ends_at, reason, asks_two)
    if arrival.compared:
        course.compared = Compared(arrival.compared, False, ())
    return course
