"""`switchyard policies`: list, show, apply, deactivate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from deployments.cli.canary import begin_canary, canary
from deployments.cli.output import json_option, print_json, print_table, say
from deployments.cli.session import in_runtime
from deployments.cli.trial import show_trial

if TYPE_CHECKING:
    from models.policy import Policy
    from tasks.adapters.runtime import Runtime
    from tasks.adapters.store.policies import Applied


@click.group()
def policies() -> None:
    """Show and change the policies that choose models."""


@policies.command("list")
@json_option
def list_policies(as_json: bool) -> None:
    """List every policy with its models in order of priority."""

    async def read(opened: Runtime) -> list[Policy]:
        from tasks.adapters.store.policies import read_policies

        return await read_policies(opened.database)

    found = in_runtime(read)
    if as_json:
        items = [policy.model_dump(mode="json") for policy in found]
        print_json({"items": items, "next_cursor": None})
        return
    rows = [
        (
            policy.name,
            policy.version,
            "yes" if policy.is_active else "no",
            ", ".join(entry.model_id for entry in policy.ordered_models()),
            policy.max_cost_per_task,
            policy.max_tokens,
        )
        for policy in found
    ]
    print_table(("policy", "version", "active", "models", "max cost", "max tokens"), rows)


@policies.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Print one policy as the JSON document that `apply` takes."""

    async def read(opened: Runtime) -> Policy:
        from tasks.adapters.store.policies import read_policy

        return await read_policy(opened.database, name)

    print_json(in_runtime(read).model_dump(mode="json"))


@policies.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show the diff and a backtest, change nothing.")
@click.option("--since", default="30d", show_default=True, help="Start of the dry run's backtest.")
@click.option("--canary", "share", type=float, metavar="SHARE", help="Serve this share first.")
@json_option
def apply(file: Path, dry_run: bool, since: str, share: float | None, as_json: bool) -> None:
    """Apply the policies in FILE (JSON): all of them, or none with every problem named.

    With --canary the one policy in FILE serves a share of its requests, say 0.1, until `policies
    canary` or the hourly flow promotes it or rolls it back.
    """
    parsed = policies_in(file)
    if dry_run:
        show_trial(parsed, since, as_json=as_json)
        return
    if share is not None:
        begin_canary(parsed, share, file.name, as_json=as_json)
        return

    async def save(opened: Runtime) -> list[Applied]:
        from tasks.adapters.store.policies import apply_policies

        return await apply_policies(
            opened.database, parsed, source="person", reason=f"applied from {file.name}"
        )

    applied = in_runtime(save)
    if as_json:
        items = [{"name": a.name, "version": a.version, "change": a.change} for a in applied]
        print_json({"items": items, "dry_run": False})
        return
    print_table(("policy", "version", "change"), [(a.name, a.version, a.change) for a in applied])


def policies_in(file: Path) -> tuple[Policy, ...]:
    """Return the policies of a file, at least one; raises InvalidPolicy with every problem."""
    from models.errors import InvalidPolicy
    from models.policy import parse_policy_text

    parsed = parse_policy_text(_text_of(file))
    if not parsed:
        raise InvalidPolicy((f"{file.name} holds no policy",))
    return parsed


def _text_of(file: Path) -> str:
    from models.errors import InvalidConfiguration

    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidConfiguration(f"cannot read {str(file)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidConfiguration(f"{str(file)!r} is not UTF-8 text") from error


@policies.command()
@click.argument("name")
@json_option
def deactivate(name: str, as_json: bool) -> None:
    """Take a policy out of use; `apply` brings it back."""
    from tasks.adapters.store import policies as store

    async def save(opened: Runtime) -> store.Applied:
        return await store.deactivate_policy(opened.database, name)

    applied = in_runtime(save)
    if as_json:
        print_json({"name": applied.name, "version": applied.version, "change": applied.change})
    else:
        say(f"policy {applied.name!r} is inactive (version {applied.version})")


policies.add_command(canary)
