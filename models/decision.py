"""The decision: one routed request from its arrival to its result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from models.attempt import Candidate
from models.classification import Classification
from models.completion import Completion
from models.plan import Plan
from models.policy import Policy
from models.request import RoutingRequest, Trace
from models.result import Hedged, RoutingResult, Status
from models.snapshot import Snapshot
from models.waiting import Approval


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks and how: the key makes a second arrival find the first one's decision.

    `key` is the caller's own, else the flow run's id, else None (nothing can be replayed).
    """

    key: str | None
    trace: Trace
    flow_run_id: UUID | None
    owner: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request with its identity and class.

    `stored` is the result of an earlier arrival under the same key; then nothing more is done.
    `attempts_made` is the number of the last attempt that a crashed or refused earlier run left,
    `compared` what its first two models answered, where nothing has confirmed either yet.
    `approval` is set when a person approved the stored plan; then that plan is followed.
    """

    decision_id: UUID
    request: RoutingRequest
    request_hash: str
    caller: Caller
    classification: Classification
    policy: Policy
    policy_reason: str
    arrived_at: datetime
    stored: RoutingResult | None = None
    attempts_made: int = 0
    resumed: bool = False
    deadline_at: datetime | None = None
    approval: Approval | None = None
    compared: tuple[Answered, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """A request that is classified, snapshotted and planned: its attempts may begin."""

    arrival: Arrival
    snapshot: Snapshot
    plan: Plan


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """Everything one attempt needs: what to ask, whom, and what may be held for it.

    A provisional answer may turn out not to be the one that is delivered: it is not streamed, and
    booked by itself.
    `limit_wait_s` is the longest wait for a turn under a rate limit, and `ends_at` when waiting and
    answering must be over.
    """

    arrival: Arrival
    attempt_no: int
    candidate: Candidate
    policy: str
    temperature: float | None
    task_cap_usd: Decimal | None
    timeout_s: float
    is_provisional: bool = False
    limit_wait_s: float = 0.0
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with the attempt that brought it."""

    model_id: str
    attempt_no: int
    completion: Completion


@dataclass(frozen=True, slots=True)
class Ending:
    """How the attempts of a decision ended; `reasons` tell what happened on the way.

    For parked work: `resume_after` is when money is back at the latest, `rest_s` how long it makes
    no sense to try again. `model_id` names the model whose answer it is where several answered,
    `set_aside` the attempts whose paid answers are not used because they differ from another.
    `reused_from` is the decision that paid for the answer, where this one did not;
    `is_unconfirmed` an answer that no check and no other model agreed with.
    `hedged` says who won when a second model joined because the first was slow.
    """

    plan: Plan | None
    status: Status
    completion: Completion | None
    reasons: tuple[str, ...]
    resume_after: datetime | None = None
    rest_s: float | None = None
    model_id: str | None = None
    set_aside: tuple[int, ...] = ()
    reused_from: UUID | None = None
    is_unconfirmed: bool = False
    hedged: Hedged | None = None
