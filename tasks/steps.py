"""The steps of a decision as plain functions: the lane `ledger`, without a Prefect run.

The Prefect tasks beside this module decorate the same functions for the lane `flow`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from models.completion import Completion
from models.decision import Arrival, AttemptOrder, Caller, Chosen, Ending
from models.plan import Plan
from models.request import RoutingRequest
from models.result import RoutingResult
from models.snapshot import Snapshot
from tasks.adapters import attempts, decisions
from tasks.adapters.answers import Find, Found, find_answer, sharing
from tasks.adapters.decisions import finished_result, stored_request
from tasks.adapters.race import Contestant, Race
from tasks.adapters.runtime import process_owner, shared_runtime
from tasks.adapters.waiting_runs import answer_by_form, note_suspension

__all__ = [
    "PLAIN_STEPS",
    "Contestant",
    "Found",
    "Race",
    "Steps",
    "answer_by_form",
    "deciding",
    "finished_result",
    "note_suspension",
    "process_owner",
    "shared_runtime",
    "sharing",
    "stored_request",
]


@dataclass(frozen=True, slots=True)
class Steps:
    """The three verbs that a decision is made of, in the order of the seed's decision flow.

    `decide` brings the stored result of a request that is known. `find_answer` is a fourth, for
    policies with a cache only.
    `may_hedge` is false where nobody waits for a single answer.
    """

    decide: Callable[[RoutingRequest, Caller], Awaitable[Chosen | RoutingResult]]
    execute_request: Callable[[AttemptOrder], Awaitable[Completion]]
    record_outcome: Callable[[Arrival, Ending], Awaitable[RoutingResult]]
    find_answer: Find = find_answer
    may_hedge: bool = True


def deciding(
    classify_request: Callable[[RoutingRequest, Caller], Awaitable[Arrival]],
    check_budget: Callable[[Arrival], Awaitable[Snapshot]],
    select_model: Callable[[Arrival, Snapshot], Awaitable[Plan]],
) -> Callable[[RoutingRequest, Caller], Awaitable[Chosen | RoutingResult]]:
    """Return the three verbs that spend nothing as one."""

    async def decide(request: RoutingRequest, caller: Caller) -> Chosen | RoutingResult:
        arrival = await classify_request(request, caller)  # 1, 2
        if arrival.stored is not None:
            return arrival.stored
        snapshot = await check_budget(arrival)  # 3, 4
        return Chosen(arrival, snapshot, await select_model(arrival, snapshot))  # 5, 6, 7, 8

    return decide


PLAIN_STEPS = Steps(
    decide=deciding(decisions.receive, decisions.snapshot, decisions.select_and_record),
    execute_request=attempts.run_attempt,
    record_outcome=decisions.finish,
)
