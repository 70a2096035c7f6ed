"""A chunk of a batch as a Prefect task: hundreds of decisions, one task run."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.batch_steps import Chunk, Sentence, route_lines


@task(
    task_run_name="route_chunk: lines {chunk.first} to {chunk.last}",
    retries=0,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def route_chunk(chunk: Chunk, sentence: Sentence) -> int:
    """Route the chunk's lines in the batch that this run has open; return how many."""
    return await route_lines(chunk, sentence)
