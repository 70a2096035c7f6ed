"""What a person sees of a run in Prefect: its name, its tags, the explanation of its decision."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from uuid import UUID

import httpx
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException

from models.explanation import decision_markdown
from models.plan import Plan
from models.result import RoutingResult

OUR_TAGS = ("policy:", "type:", "status:", "model:", "worker:", "simulated")
logger = logging.getLogger("switchyard.run_page")


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
