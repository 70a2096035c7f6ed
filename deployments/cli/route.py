"""`switchyard route`: one request through a real decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from deployments.cli.output import cell_text, json_option, print_table, say

if TYPE_CHECKING:
    from deployments.cli.terminal_sink import TerminalSink
    from models.request import RoutingRequest
    from models.result import RoutingResult


@click.command()
@click.argument("prompt")
@click.option("--type", "task_type", help="Task type, such as fix_bug; else inferred.")
@click.option("--policy", help="Policy to use; else chosen by task type.")
@click.option("--worker", "worker_id", help="Worker whose budgets pay too.")
@click.option("--max-cost", "max_cost_usd", metavar="USD", help="Most it may cost.")
@click.option("--max-tokens", type=int, help="Most tokens of the answer.")
@click.option("--idempotency-key", help="Same key, same answer, paid once.")
@click.option("--on-exhausted", type=click.Choice(["downgrade", "park", "reject"]))
@click.option("--approval-above", "approval_above_usd", metavar="USD", help="Ask a person above.")
@click.option("--trace", type=click.Choice(["flow", "ledger"]), default="flow", show_default=True)
@click.option("--stream", is_flag=True, help="Print the answer as it arrives.")
@json_option
def route(trace: str, stream: bool, as_json: bool, **fields: Any) -> int:
    """Route PROMPT to the model that its policy and budgets allow, and print the answer."""
    request = parse_request({name: value for name, value in fields.items() if value is not None})
    sink = _terminal(stream and not as_json)
    result = _run(request, trace, sink)
    if as_json:
        click.echo(result.model_dump_json(indent=2))
    else:
        print_result(result, streamed=sink is not None and sink.started)
    return exit_code(result)


def parse_request(document: dict[str, Any]) -> RoutingRequest:
    """Return the request, or raise InvalidRequest naming every wrong field in one line."""
    from pydantic import ValidationError

    from models.errors import InvalidRequest
    from models.request import RoutingRequest

    try:
        return RoutingRequest.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise InvalidRequest("; ".join(_problem_text(problem) for problem in problems)) from None


def _problem_text(problem: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"]) or "request"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"


def _run(request: RoutingRequest, trace: str, sink: TerminalSink | None) -> RoutingResult:
    import asyncio

    from deployments.system import running_parts
    from tasks.adapters.settings import read_settings

    with running_parts(read_settings(), prefect=trace == "flow", notify=say) as settings:
        from deployments.lanes import run_once

        return asyncio.run(run_once(settings, request, trace, sink=sink))


def _terminal(stream: bool) -> TerminalSink | None:
    from deployments.cli.terminal_sink import TerminalSink

    return TerminalSink() if stream else None


def print_result(result: RoutingResult, *, streamed: bool) -> None:
    """Print the answer and, below it on stderr, what it cost and why this model."""
    if result.content:
        click.echo("" if streamed else cell_text(result.content))
    label = " (simulated)" if result.simulated else ""
    say(
        f"\n{result.status}{label}: {result.task_type}/{result.complexity}, policy"
        f" {result.policy} v{result.policy_version}, model {result.model or '-'},"
        f" cost {cell_text(result.cost_usd)}, {result.latency_ms} ms"
    )
    for reason in result.reasons:
        say(f"  - {cell_text(reason)}")
    if len(result.attempts) > 1:
        rows = [(a.model, a.outcome, a.cost_usd, a.latency_ms, a.error) for a in result.attempts]
        print_table(("attempt", "outcome", "cost", "ms", "error"), rows)
    say(f"  decision {result.decision_id}: `switchyard explain {result.decision_id}`")


def exit_code(result: RoutingResult) -> int:
    """Return the exit code of docs/interface.md for a result."""
    from models.result import EXIT_CODES

    return EXIT_CODES[result.status]
