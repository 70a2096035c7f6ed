"""`switchyard policies canary`, and `policies apply --canary`: a version on a share of requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from deployments.cli.output import json_option, print_json, print_table, say
from deployments.cli.session import in_runtime

if TYPE_CHECKING:
    from models.policy import Policy
    from tasks.adapters.canaries import JudgedCanary
    from tasks.adapters.runtime import Runtime
    from tasks.adapters.store.canaries import Canary


def begin_canary(wanted: Sequence[Policy], share: float, source: str, *, as_json: bool) -> None:
    """Let the one policy wanted serve a share of its requests."""
    from models.canary import one_policy, refuse_share

    policy = one_policy(wanted)
    refuse_share(share)

    async def start(opened: Runtime) -> Canary:
        from tasks.adapters.store.canaries import start_canary

        return await start_canary(opened.database, policy, share, f"canary from {source}")

    started = in_runtime(start)
    if as_json:
        item = {"name": started.name, "version": started.version, "change": "canary"}
        print_json({"items": [item], "dry_run": False})
    say(
        f"version {started.version} of policy {started.name!r} serves {started.share:.1%} of its"
        f" requests beside version {started.base_version}; see `switchyard policies canary"
        f" {started.name}`"
    )


@click.command()
@click.argument("name")
@click.option("--promote", is_flag=True, help="Put the version in force now.")
@click.option("--abort", is_flag=True, help="End the trial; the present version stays.")
@click.option("--reason", default="", help="Why; it is kept with the version.")
@json_option
def canary(name: str, promote: bool, abort: bool, reason: str, as_json: bool) -> None:
    """Show what the canary of policy NAME did and what that asks for; or end it.

    The hourly flow promotes or rolls back by itself once the evidence is sure.
    """
    if promote and abort:
        raise click.UsageError("--promote or --abort, not both")
    if promote or abort:
        _end(name, reason or "by command", promote=promote, as_json=as_json)
    else:
        _show(name, as_json=as_json)


def _end(name: str, reason: str, *, promote: bool, as_json: bool) -> None:
    async def end(opened: Runtime) -> Canary:
        from tasks.adapters.store.canaries import end_canary

        return await end_canary(opened.database, name, "promoted" if promote else "aborted", reason)

    ended = in_runtime(end)
    if as_json:
        print_json(
            {
                "name": ended.name,
                "version": ended.version,
                "status": ended.status,
                "end_reason": ended.end_reason,
            }
        )
    say(f"canary version {ended.version} of policy {ended.name!r}: {ended.status}")


def _show(name: str, *, as_json: bool) -> None:
    async def read(opened: Runtime) -> JudgedCanary:
        from tasks.adapters.canaries import canary_evidence

        return (await canary_evidence(opened.database, name))[0]

    found = in_runtime(read)
    if as_json:
        print_json(found.document())
        return
    trial = found.canary
    rows = [
        (what, arm.requests, f"{arm.success_rate:.1%}", f"${arm.cost_usd_avg:.6f}")
        for what, arm in (
            (f"canary, version {trial.version}, {trial.share:.1%}", found.arm),
            ("beside it", found.present),
        )
    ]
    print_table(("", "requests", "success", "cost a request"), rows, f"{name}: {trial.status}")
    click.echo(f"since {trial.started_at:%Y-%m-%d %H:%M %Z}: {trial.reason}")
    if trial.ended_at is None:
        click.echo(f"the evidence says {found.verdict.move.value}: {found.verdict.reason}")
    else:
        click.echo(f"ended {trial.ended_at:%Y-%m-%d %H:%M %Z}: {trial.end_reason}")
