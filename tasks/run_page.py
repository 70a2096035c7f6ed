"""What a person sees of a run in Prefect: its name, its tags, the explanation of its decision."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.utilities.annotations import quote

from models.choice_words import choice_lines
from models.decision import Chosen
from models.explanation import decision_markdown
from models.plan import Plan
from models.result import RoutingResult

P = ParamSpec("P")
R = TypeVar("R")
OUR_TAGS = ("policy:", "type:", "status:", "model:", "worker:", "simulated")
logger = logging.getLogger("switchyard.run_page")


def unvisited(step: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Return the task, called with its arguments as they are.

    Prefect walks through every argument of a task, down to the last number, for futures to wait
    for. Ours hold none, and a snapshot is large.
    """

    def call(*args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        quoted: Any = step  # Any: Prefect takes an annotation off again, which no type can say
        call: Awaitable[R] = quoted(
            *map(quote, args), **{name: quote(value) for name, value in kwargs.items()}
        )
        return call

    return call


def log_choice(chosen: Chosen | RoutingResult) -> None:
    """Write into the run's log what was decided before any money moved."""
    log = get_run_logger()
    if isinstance(chosen, RoutingResult):
        log.info("known: the stored result of decision %s", chosen.decision_id)
        return
    for line in choice_lines(chosen):
        log.info("%s", line)


async def label_run(run_id: UUID, tags_before: Sequence[str], result: RoutingResult) -> None:
    """Name and tag the run by policy, model and worker, so that a list of runs can be read."""
    tags = [f"policy:{result.policy}", f"type:{result.task_type}", f"status:{result.status}"]
    if result.model is not None:
        tags.append(f"model:{result.model}")
    if result.worker_id is not None:
        tags.append(f"worker:{result.worker_id}")
    if result.simulated:
        tags.append("simulated")
    kept = [tag for tag in tags_before if not tag.startswith(OUR_TAGS)]
    name = f"{result.policy} · {result.task_type} · {result.model or result.status}"
    with _dispensable("name and tags"):
        async with get_client() as client:
            await client.update_flow_run(run_id, name=name, tags=[*kept, *tags])


async def leave_explanation(result: RoutingResult, plan: Plan | None) -> None:
    """Leave the decision, explained, as an artifact of the run."""
    with _dispensable("explanation"):
        await acreate_markdown_artifact(
            decision_markdown(result, plan),
            key="decision",
            description=f"{result.status}: {result.model or 'no model'} for {result.task_type}",
        )


@contextlib.contextmanager
def _dispensable(what: str) -> Iterator[None]:
    """Let a paid answer reach its caller also when Prefect cannot take what is shown of it."""
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("the run's page is without its %s: %s", what, type(error).__name__)
