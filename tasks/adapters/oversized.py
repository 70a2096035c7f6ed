"""Requests too large for a flow run's parameters: stored, and passed by their id."""

from __future__ import annotations

from models.decision import Arrival, Caller
from models.request import RoutingRequest
from tasks.adapters.decisions import receive
from tasks.adapters.runtime import runtime
from tasks.adapters.store.requests import keep_request

# Prefect 3.8 refuses parameters above 512 KiB of JSON; what else it puts there stays below 100 KB.
PARAMETER_BYTES_MAX = 400_000


def is_oversized(request: RoutingRequest) -> bool:
    """Return whether the request must be passed by id."""
    return len(request.model_dump_json().encode()) > PARAMETER_BYTES_MAX


async def store_request(request: RoutingRequest, caller: Caller) -> Arrival:
    """Return the arrival of a request that is now stored: `request_id` is its decision's id.

    An arrival with a stored result needs no flow run. Raises as `receive` does.
    """
    arrival = await receive(request, caller)
    if arrival.stored is None:
        document = request.model_dump(mode="json", exclude_none=True, exclude_unset=True)
        await keep_request(runtime().database, arrival.decision_id, document)
    return arrival
