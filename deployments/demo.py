"""`make demo`: a handful of different tasks through real flow runs, and what became of them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click
import httpx

from deployments.cli.output import cell_text, print_table, say
from deployments.cli.route import parse_request
from deployments.edge import run_to_exit
from deployments.system import running_parts
from tasks.adapters.settings import Settings, read_settings

if TYPE_CHECKING:
    from models.result import RoutingResult

CAP_USD = "0.007"  # seven tasks of at most this: under $0.05 also with a real key
BROKEN = "The importer drops the last row of every file; find the off-by-one and fix it."


@dataclass(frozen=True, slots=True)
class DemoTask:
    """One task of the demo, and what it is there to show."""

    shows: str
    prompt: str
    task_type: str | None = None
    stream: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


TASKS = (
    DemoTask(
        "policy normal",
        "Summarise these log lines and say what stands out:\n"
        "12:00:01 worker-3 timeout after 30 s\n12:00:02 worker-3 retry 1\n12:00:09 worker-3 ok",
        "analyze_logs",
    ),
    DemoTask(
        "policy deep_research",
        "Compare building our own queue with buying one for a team of five over three years.",
        "strategic_analysis",
    ),
    DemoTask("policy code", "Why does `range(1, len(rows))` skip a row? Fix it.", "fix_bug"),
    DemoTask("policy ops, type inferred", "Is the payment service up? Answer yes or no."),
    DemoTask("first model fails: downgrade", BROKEN, "fix_bug"),
    DemoTask(
        "refused by its per-task limit",
        "Write a migration plan for our billing database.",
        "research",
        fields={"max_cost_usd": "0.0000001"},
    ),
    DemoTask("streamed", "Format as a list: apples, pears, plums.", "format_text", stream=True),
)


def main() -> None:
    """Run the demo; exit 0 only when every task ended as it should."""
    run_to_exit(_demo)


def _demo() -> int:
    with running_parts(read_settings(), prefect=True, notify=say) as complete:
        return asyncio.run(run_demo(complete))


async def run_demo(settings: Settings) -> int:
    """Route every task as a flow run and print the table; return the exit code."""
    # Prefect reads its settings when it is imported, so only now that its server's URL is known.
    from deployments.lanes import flow_lane, run_in_lane
    from deployments.preparation import prepared_runtime
    from tasks.adapters.sink import streaming_into

    started = time.monotonic()
    results: list[RoutingResult] = []
    async with prepared_runtime(settings), flow_lane():
        for demo_task in TASKS:
            say(f"\n» {demo_task.shows}: {demo_task.prompt.splitlines()[0][:76]}")
            if settings.simulated and demo_task.prompt == BROKEN:
                await _break_first_model(settings)
            with streaming_into(_sink(demo_task)):
                result = await run_in_lane(_request(demo_task, settings), "flow")
            results.append(result)
            _print_outcome(result, demo_task)
    _print_summary(results, settings, time.monotonic() - started)
    return 0 if _as_expected(results) else 1


def _request(demo_task: DemoTask, settings: Settings) -> Any:
    document = {
        "prompt": demo_task.prompt,
        "task_type": demo_task.task_type,
        "worker_id": "demo",
        "max_cost_usd": CAP_USD,
    } | demo_task.fields
    if demo_task.prompt == BROKEN and not settings.simulated:
        # A real upstream cannot be told to fail, but it refuses a model whose provider is
        # excluded: the same failover, and the refusal costs nothing.
        document["extra_body"] = {"provider": {"ignore": ["openai", "azure"]}}
    return parse_request(document)


def _sink(demo_task: DemoTask) -> Any:
    from deployments.cli.terminal_sink import TerminalSink

    return TerminalSink() if demo_task.stream else None


async def _break_first_model(settings: Settings) -> None:
    """Tell the simulator that the first model of policy code is overloaded for this prompt."""
    base = str(settings.upstream_url).removesuffix("/api/v1")
    match = {"model": "openai/gpt-4o", "contains": BROKEN}
    rule = {"match": match, "fault": "unavailable", "times": 1}
    async with httpx.AsyncClient(trust_env=False) as client:
        (await client.post(f"{base}/simulator/faults", json=rule)).raise_for_status()


def _print_outcome(result: RoutingResult, demo_task: DemoTask) -> None:
    if demo_task.stream:
        click.echo()  # a streamed answer ends without a line end
    elif result.content:
        say("  " + cell_text(result.content).strip().replace("\n", "\n  ")[:400])
    for reason in result.reasons[-4:]:
        say(f"  · {cell_text(reason)}")


def _print_summary(results: list[RoutingResult], settings: Settings, seconds: float) -> None:
    label = "simulated upstream: no money moved" if settings.simulated else "real upstream"
    columns = ("task", "type", "complexity", "policy", "model", "attempts", "cost", "ms", "status")
    rows = [
        (
            demo_task.shows,
            result.task_type,
            result.complexity,
            result.policy,
            result.model or "-",
            len(result.attempts),
            result.cost_usd,
            result.latency_ms,
            result.status,
        )
        for demo_task, result in zip(TASKS, results, strict=True)
    ]
    print_table(columns, rows, title=f"Switchyard demo ({label}, {seconds:.0f} s)")
    say("\nWhere to look:")
    say(f"  why a model was chosen   .venv/bin/switchyard explain {results[4].decision_id}")
    say("  what it cost             .venv/bin/switchyard costs --group-by model")
    say("  does every cent add up   .venv/bin/switchyard audit")
    say("  the runs in Prefect      make up, then open the Prefect URL it prints")


def _as_expected(results: list[RoutingResult]) -> bool:
    """Six answers, one of them on the second attempt, and one refusal."""
    statuses = [str(result.status) for result in results]
    wanted = ["completed"] * 5 + ["rejected", "completed"]
    return statuses == wanted and len(results[4].attempts) > 1


if __name__ == "__main__":
    main()
