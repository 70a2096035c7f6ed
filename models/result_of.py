"""How a decision's arrival, ending and attempts become its result document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from models.decision import Arrival, Ending
from models.money import ZERO_USD
from models.result import AttemptResult, Outcome, RoutingResult


def result_of(
    arrival: Arrival,
    ending: Ending,
    attempts: Sequence[AttemptResult],
    *,
    simulated: bool,
    now: datetime,
) -> RoutingResult:
    """Return the result document. `cost_usd` sums what is known, unknown attempts left out."""
    completion = ending.completion
    usage = None if completion is None else completion.usage
    return RoutingResult(
        decision_id=arrival.decision_id,
        task_id=arrival.request.task_id,
        worker_id=arrival.request.worker_id,
        status=ending.status,
        task_type=arrival.classification.task_type,
        complexity=arrival.classification.complexity,
        policy=arrival.policy.name,
        policy_version=arrival.policy.version,
        model=_model(ending, attempts),
        provider=None if completion is None else completion.provider,
        content=None if completion is None else completion.content,
        message=None if completion is None else completion.message,
        finish_reason=None if completion is None else completion.finish_reason,
        cost_usd=sum((a.cost_usd for a in attempts if a.cost_usd is not None), ZERO_USD),
        estimated_cost_usd=_held_usd(ending, attempts),
        possible_overshoot_usd=(ending.plan and ending.plan.possible_overshoot_usd) or None,
        prompt_tokens=0 if usage is None else usage.prompt_tokens,
        completion_tokens=0 if usage is None else usage.completion_tokens,
        latency_ms=_latency_ms(arrival, now),
        cached=ending.reused_from is not None,
        simulated=simulated,
        hedged=ending.hedged,
        attempts=list(attempts),
        reasons=_reasons(arrival, ending),
        flow_run_id=arrival.caller.flow_run_id,
    )


def _model(ending: Ending, attempts: Sequence[AttemptResult]) -> str | None:
    """Return the model that answered, else the one that is planned first."""
    if ending.model_id is not None:
        return ending.model_id
    answered = [attempt.model for attempt in attempts if attempt.outcome is Outcome.OK]
    if answered:
        return answered[-1]
    if ending.completion is not None:
        return ending.completion.model_id
    planned = () if ending.plan is None or attempts else ending.plan.candidates
    return planned[0].model_id if planned else None


def _held_usd(ending: Ending, attempts: Sequence[AttemptResult]) -> Decimal:
    reused = ending.reused_from is not None
    if reused or attempts or ending.plan is None or not ending.plan.candidates:
        return sum((attempt.estimated_cost_usd for attempt in attempts), ZERO_USD)
    return ending.plan.candidates[0].worst_case_usd


def _reasons(arrival: Arrival, ending: Ending) -> list[str]:
    """Return why, in order: class and policy, the selection, what happened to the attempts."""
    if ending.plan is None:
        return [arrival.classification.reason(), arrival.policy_reason, *ending.reasons]
    return [*ending.plan.reasons, *ending.reasons]


def _latency_ms(arrival: Arrival, now: datetime) -> int:
    return round((now - arrival.arrived_at).total_seconds() * 1000)
