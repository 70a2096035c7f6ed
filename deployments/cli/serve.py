"""`switchyard serve`: the HTTP API in the foreground."""

from __future__ import annotations

from typing import Any

import click

from deployments.cli.output import json_option, print_json, say

PROCESSES_MAX = 64


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Off loopback a key is due.")
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True)
@click.option(
    "--trace",
    "lane",
    type=click.Choice(["flow", "ledger"]),
    default="flow",
    show_default=True,
    help="Lane of requests that name none; `ledger` starts no Prefect server.",
)
@click.option("--concurrency", type=click.IntRange(1, 10_000), default=256, show_default=True)
@click.option("--rate", type=click.IntRange(1), help="Requests a minute of each caller.")
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="Processes that share the port and all limits: one for each core to use.",
)
@json_option
def serve(
    host: str,
    port: int,
    lane: Any,
    concurrency: int,
    rate: int | None,
    processes: int,
    as_json: bool,
) -> None:
    """Serve the HTTP API, the OpenAI-compatible one below /v1, and the spend page at /."""
    from deployments.system import running_parts
    from tasks.adapters.settings import read_settings

    settings = read_settings()
    with running_parts(settings, prefect=lane == "flow", notify=say) as complete:
        # Only now: what the API imports takes half a second, and bad input is told before it.
        from deployments.api import ServeOptions, run_api

        options = ServeOptions(
            host=host,
            port=port,
            lane=lane,
            trace_sample=settings.switchyard_trace_sample,
            concurrent_max=concurrency,
            requests_per_minute=rate,
        )

        def announce(url: str) -> None:
            _announce(url, as_json=as_json)

        if processes == 1:
            run_api(complete, options, on_ready=announce)
        else:
            from deployments.fleet import run_fleet

            run_fleet(complete, options, processes, on_ready=announce)


def _announce(url: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"url": url})
    say(f"Switchyard answers at {url}")
