"""The automations that Switchyard keeps in Prefect: tell of alerts, and bury dead runs.

Made or brought up to date by `switchyard up` and by `switchyard automations`; a person may disable
one, which stays so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from models.errors import InvalidConfiguration

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

DEAD_RUNS = "Switchyard: runs without a heartbeat are Crashed"
ALERTS = "Switchyard: alerts are told"
# Prefect's runs beat every 180 s unless told otherwise. Longer than that also leaves the warm
# workers, which take a dead neighbour's runs over within a minute, the first word.
SILENCE = timedelta(seconds=240)
Change = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One automation and what was done about it."""

    name: str
    change: Change


async def keep_automations(client: PrefectClient, notify_block: str | None) -> list[Kept]:
    """Create what is missing and update what differs; `notify_block` is `type/name` or None.

    Raises InvalidConfiguration where that notification block does not exist.
    """
    wanted = [_dead_runs()]
    if notify_block is not None:
        wanted.append(_alerts(await _block_id(client, notify_block)))
    return [await _keep(client, automation) for automation in wanted]


async def _keep(client: PrefectClient, wanted: AutomationCore) -> Kept:
    found = await client.read_automations_by_name(wanted.name)
    if not found:
        await client.create_automation(wanted)
        return Kept(wanted.name, "created")
    known = found[0]
    wanted = wanted.model_copy(update={"enabled": known.enabled})
    if _shape(known) == _shape(wanted):
        return Kept(wanted.name, "unchanged")
    # the server refuses an owner in an update, even none
    stated = AutomationCore(**wanted.model_dump(exclude={"owner_resource"}))
    await client.update_automation(known.id, stated)
    return Kept(wanted.name, "updated")


def _shape(automation: AutomationCore) -> dict[str, object]:
    """Return what we state of an automation, without what the server adds."""
    made = automation.model_dump(
        mode="json", include={"description", "trigger", "actions", "enabled", "tags"}
    )
    made["trigger"] = {name: part for name, part in made["trigger"].items() if name != "id"}
    return made


def _dead_runs() -> AutomationCore:
    return AutomationCore(
        name=DEAD_RUNS,
        description=(
            "A run that sent heartbeats and then neither one nor any other state for"
            f" {SILENCE.seconds} s has lost its worker. The ledger has the truth about its money."
        ),
        tags=["switchyard"],
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            # Every state is a sign of life or an end: a decision ends under names of its own
            # ("Rejected", "Parked"), and one that is suspended sends no heartbeat.
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {SILENCE.seconds} s: its worker is gone.",
            )
        ],
    )


def _alerts(block_document_id: UUID) -> AutomationCore:
    return AutomationCore(
        name=ALERTS,
        description="Budget thresholds, drift, open circuits, overruns and unknown bills.",
        tags=["switchyard"],
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={"switchyard.*"},
            for_each={"prefect.resource.id"},
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(
                block_document_id=block_document_id,
                subject="Switchyard: {{ event.event }}",
                body="{{ event.payload.message }}\n\n{{ event.resource.id }}, {{ event.occurred }}",
            )
        ],
    )


async def _block_id(client: PrefectClient, slug: str) -> UUID:
    block_type, separator, name = slug.partition("/")
    if not separator or not block_type or not name:
        raise InvalidConfiguration(
            f"SWITCHYARD_NOTIFY_BLOCK: {slug!r} is not TYPE/NAME, say slack-webhook/ops"
        )
    try:
        block = await client.read_block_document_by_name(name, block_type_slug=block_type)
    except ObjectNotFound as error:
        raise InvalidConfiguration(
            f"SWITCHYARD_NOTIFY_BLOCK: Prefect has no block {slug!r}"
        ) from error
    return block.id
