"""The decision without its execution: what would be asked, recorded, with nothing held."""

from __future__ import annotations

from dataclasses import replace

from flows.decision import refused
from models.decision import Caller, Ending
from models.request import RoutingRequest
from models.result import RoutingResult, Status
from tasks.steps import Steps


async def select_only(request: RoutingRequest, caller: Caller, steps: Steps) -> RoutingResult:
    """Return the result `selected`: model, estimate, reasons; or how the plan refuses.

    Nothing is parked and nobody is asked: such a plan only says that this would happen.
    """
    chosen = await steps.decide(request, caller)  # 1 to 8
    if isinstance(chosen, RoutingResult):
        return chosen
    arrival, plan = chosen.arrival, chosen.plan
    ending = refused(plan) or Ending(plan, Status.SELECTED, None, ())
    if ending.status in (Status.PARKED, Status.AWAITING_APPROVAL):
        would = f"a real request would be {ending.status.value.replace('_', ' ')}"
        status = Status.REJECTED if ending.status is Status.PARKED else Status.SELECTED
        ending = replace(ending, status=status, reasons=(would,), resume_after=None)
    return await steps.record_outcome(arrival, ending)
