"""The steps of a decision as plain functions: the lane `ledger`, without a Prefect run.

The Prefect tasks beside this module decorate the same functions for the lane `flow`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from models.completion import Completion
from models.decision import Arrival, AttemptOrder, Caller, Ending
from models.plan import Plan
from models.request import RoutingRequest
from models.result import RoutingResult
from models.snapshot import Snapshot
from tasks.adapters import attempts, decisions
from tasks.adapters.answers import Find, Found, find_answer, sharing
from tasks.adapters.decisions import finished_result, stored_request
from tasks.adapters.runtime import process_owner, shared_runtime
from tasks.adapters.waiting_runs import answer_by_form, note_suspension

__all__ = [
    "PLAIN_STEPS",
    "Found",
    "Steps",
    "answer_by_form",
    "finished_result",
    "note_suspension",
    "process_owner",
    "shared_runtime",
    "sharing",
    "stored_request",
]


@dataclass(frozen=True, slots=True)
class Steps:
    """The five verbs that a decision is made of, in the order of the seed's decision flow.

    `find_answer` is a sixth, for policies with a cache only.
    """

    classify_request: Callable[[RoutingRequest, Caller], Awaitable[Arrival]]
    check_budget: Callable[[Arrival], Awaitable[Snapshot]]
    select_model: Callable[[Arrival, Snapshot], Awaitable[Plan]]
    execute_request: Callable[[AttemptOrder], Awaitable[Completion]]
    record_outcome: Callable[[Arrival, Ending], Awaitable[RoutingResult]]
    find_answer: Find = find_answer


PLAIN_STEPS = Steps(
    classify_request=decisions.receive,
    check_budget=decisions.snapshot,
    select_model=decisions.select_and_record,
    execute_request=attempts.run_attempt,
    record_outcome=decisions.finish,
)
