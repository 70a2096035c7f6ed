"""The steps of a batch as plain functions; `tasks/route_chunk.py` is the one Prefect task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from models.decision import Caller
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.batches import BatchRun, Chunk, batch_run, current_run
from tasks.adapters.batches.items import Line
from tasks.steps import Steps, deciding

__all__ = ["BatchRun", "Chunk", "Sentence", "batch_run", "current_run", "route_lines"]

Sentence = Callable[[RoutingRequest, Caller, Steps], Awaitable[RoutingResult]]


async def route_lines(chunk: Chunk, sentence: Sentence) -> int:
    """Route a chunk's lines, each by the sentence of single requests; return how many."""

    async def route(line: Line) -> RoutingResult:
        steps = Steps(
            decide=deciding(line.arrive, line.look, line.choose),
            execute_request=line.execute,
            record_outcome=line.record,
            may_hedge=False,
        )
        return await sentence(line.arrival.request, line.arrival.caller, steps)

    return await current_run().route_chunk(chunk, route)
