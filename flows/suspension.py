"""Suspending a flow run for money or for a person: no worker slot is held meanwhile.

Prefect suspends only runs of deployments that are not subflows. Any other caller is answered
`parked` or `awaiting_approval`, and the release triggers `route-request/default`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment, flow_run
from pydantic import Field

from models.explanation import escaped, usd
from models.result import RoutingResult
from tasks.steps import answer_by_form, note_suspension

FORM_APPROVER = "a person in the Prefect UI"


class ApprovalForm(RunInput):
    """What a person is asked in the Prefect UI; unticked means no."""

    approve: bool = Field(
        False, title="Approve this call", description="Ticked: the call is made. Unticked: refused."
    )
    approver: str = Field("", title="Your name", max_length=200)
    note: str = Field("", title="Note", description="Kept with the decision.", max_length=2000)


def may_suspend() -> bool:
    """Say whether Prefect can suspend this run."""
    return deployment.id is not None and flow_run.parent_flow_run_id is None


async def ask_person(result: RoutingResult) -> None:
    """Suspend until somebody answers; in the resumed run, take the answer and return.

    The key makes the second call of the same run return the form instead of suspending again.
    """
    if not await note_suspension(result.decision_id, UUID(str(flow_run.id))):
        return
    form = await asuspend_flow_run(
        wait_for_input=_form_for(result), key=f"approval-{result.decision_id}"
    )
    await answer_by_form(
        result.decision_id,
        approve=form.approve,
        approver=form.approver or FORM_APPROVER,
        note=form.note,
    )


async def suspend_until_released(result: RoutingResult) -> None:
    """Suspend until a sweep finds money and resumes the run; its body begins again then."""
    if await note_suspension(result.decision_id, UUID(str(flow_run.id))):
        await asuspend_flow_run(key=f"parked-{uuid4()}")


def _form_for(result: RoutingResult) -> type[ApprovalForm]:
    lines = [
        f"**{escaped(result.model or 'no model')}** for {escaped(result.task_type)}"
        f" ({escaped(result.complexity)}), policy {escaped(result.policy)}:"
        f" up to **{usd(result.estimated_cost_usd)}**, which is held until somebody answers.",
        *(f"- {escaped(reason)}" for reason in result.reasons),
    ]
    made: Any = ApprovalForm.with_initial_data(description="\n\n".join(lines))
    form: type[ApprovalForm] = made
    return form
