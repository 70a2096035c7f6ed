"""`switchyard approve` and `switchyard automations`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from deployments.cli.output import json_option, print_json, print_table, say

if TYPE_CHECKING:
    from models.waiting import Approval, WaitingReport
    from tasks.adapters.runtime import Runtime
    from tasks.adapters.settings import Settings


@click.command()
@click.argument("decision_id", type=click.UUID, required=False)
@click.option("--deny", is_flag=True, help="Refuse it: the money is released.")
@click.option("--note", help="Kept with the decision.")
@click.option("--by", "approver", help="Who answers; else your user name.")
@json_option
def approve(
    decision_id: UUID | None, deny: bool, note: str | None, approver: str | None, as_json: bool
) -> None:
    """Approve (or --deny) what waits for a person; without DECISION_ID list what does.

    An approved request goes on as a flow run where Prefect runs, else in this process.
    """
    if decision_id is None:
        _list_open(as_json=as_json)
        return
    chosen = decision_id

    async def answer(opened: Runtime) -> tuple[Approval, WaitingReport]:
        from deployments.lanes import resume_here
        from tasks.adapters.approvals import answer_approval
        from tasks.adapters.parking import release_decision

        answered = await answer_approval(
            opened, chosen, approve=not deny, approver=approver or getpass.getuser(), note=note
        )
        return answered, await release_decision(opened, chosen, run_here=resume_here)

    answered, report = _in_runtime(answer)
    document = {
        "decision_id": chosen,
        "answer": answered.answer,
        "approver": answered.approver,
        "note": answered.note,
        "amount_usd": answered.amount_usd,
        "released": chosen in report.released,
    }
    if as_json:
        print_json(document)
        return
    say(f"decision {chosen}: {answered.reason()}")
    for trouble in report.troubles:
        say(f"  not released yet, the next sweep tries again: {trouble}")


def _list_open(*, as_json: bool) -> None:
    async def read(opened: Runtime) -> list[dict[str, Any]]:
        from tasks.adapters.store.approvals import open_approvals

        return await open_approvals(opened.database)

    waiting = _in_runtime(read)
    if as_json:
        print_json({"items": waiting, "next_cursor": None})
        return
    columns = ("decision", "policy", "type", "worker", "held", "answer until")
    print_table(
        columns,
        [
            (
                one["decision_id"],
                one["policy"],
                one["task_type"],
                one["worker_id"],
                one["amount_usd"],
                one["expires_at"],
            )
            for one in waiting
        ],
    )


def _in_runtime(work: Any) -> Any:
    """Run against the running system, its Prefect included, so that suspended runs are resumed."""
    import asyncio

    from deployments.system import running_parts

    async def run(settings: Settings) -> Any:
        from deployments.preparation import prepared_runtime

        async with prepared_runtime(settings) as opened:
            return await work(opened)

    with running_parts(with_running_prefect(), prefect=False, notify=say) as settings:
        return asyncio.run(run(settings))


def with_running_prefect() -> Settings:
    """Return the settings, with the Prefect server of the running system if there is one."""
    from deployments.up_file import read_up_file
    from tasks.adapters.settings import read_settings

    settings = read_settings()
    up = read_up_file(settings.home)
    if settings.prefect_api_url is not None or up is None:
        return settings
    return settings.model_copy(update={"prefect_api_url": up.prefect_api_url})


@click.command()
@json_option
def automations(as_json: bool) -> None:
    """Create or update the automations in Prefect: crashed runs, and alerts.

    Alerts are sent by the notification block that SWITCHYARD_NOTIFY_BLOCK names (TYPE/NAME).
    """
    import asyncio

    from deployments.system import running_parts

    async def keep(settings: Settings) -> list[dict[str, str]]:
        from prefect.client.orchestration import get_client

        from deployments.automations import keep_automations

        async with get_client() as client:
            kept = await keep_automations(client, settings.switchyard_notify_block)
        return [{"name": one.name, "change": one.change} for one in kept]

    with running_parts(with_running_prefect(), prefect=True, notify=say) as settings:
        done = asyncio.run(keep(settings))
    if as_json:
        print_json({"items": done})
        return
    print_table(("automation", "done"), [(one["name"], one["change"]) for one in done])
    if len(done) == 1:
        say("alerts are not sent: set SWITCHYARD_NOTIFY_BLOCK to a notification block (TYPE/NAME)")
