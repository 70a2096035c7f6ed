"""A batch as one sentence: chunk after chunk until the file is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from flows.decision import route
from models.batch import BatchCounts
from tasks.batch_steps import BatchRun, Chunk, Sentence

CHUNK_LINES = 250
UPSTREAM_LANES = 40  # of a batch that waits for a provider: all lines, and not one after another
LANES = 2  # the next chunk starts while the last lines of one are still under way

RouteChunk = Callable[[Chunk, Sentence], Awaitable[int]]
Report = Callable[[BatchCounts], Awaitable[None]]


async def work_through(run: BatchRun, route_chunk: RouteChunk, report: Report) -> BatchCounts:
    """Route every line that is not completed yet; return what became of all of them."""
    place, taking = 0, asyncio.Lock()

    async def lane() -> None:
        nonlocal place
        while True:
            async with taking:
                chunk = await run.next_chunk(place, CHUNK_LINES)
                if chunk is None:
                    return
                place = chunk.last
            await route_chunk(chunk, route)
            await report(run.counts())

    lanes = LANES if run.upstream is None else UPSTREAM_LANES
    ended = await asyncio.gather(*(lane() for _ in range(lanes)), return_exceptions=True)
    for error in ended:  # only now, so that no lane is cut off in the middle of a paid call
        if error is not None:
            raise error
    return run.counts()
