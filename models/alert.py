"""The alert: something a person should hear of, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

VALUE_CHARS_MAX = 200
EVENT_PREFIX = "switchyard"


class AlertKind(StrEnum):
    """What happened; each is the name of a Prefect event below `switchyard.`."""

    BUDGET_THRESHOLD = "budget.threshold"
    SPEND_DRIFT = "spend.drift"
    CIRCUIT_OPENED = "circuit.opened"
    COST_OVERRUN = "cost.overrun"
    BILL_UNKNOWN = "bill.unknown"
    CANARY_ROLLED_BACK = "canary.rolled_back"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to hear of; `dedupe_key` makes it heard once.

    `subject` names what it is about, the way Prefect names resources: `switchyard.budget.<id>`.
    """

    kind: AlertKind
    dedupe_key: str
    subject: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert with its identity and time."""

    id: UUID
    kind: str
    subject: str
    message: str
    details: dict[str, Any]
    created_at: datetime


def event_of(alert: StoredAlert) -> dict[str, Any]:
    """Return the alert as a Prefect event; the alert's id is the event's, so it is kept once.

    The flow run and the decision behind it become related resources.
    """
    related = [
        {"prefect.resource.id": resource, "prefect.resource.role": role}
        for role, resource in (
            ("flow-run", _resource("prefect.flow-run", alert.details.get("flow_run_id"))),
            ("decision", _resource("switchyard.decision", alert.details.get("decision_id"))),
            ("model", _resource("switchyard.model", alert.details.get("model"))),
            ("worker", _resource("switchyard.worker", alert.details.get("worker_id"))),
        )
        if resource is not None
    ]
    return {
        "id": str(alert.id),
        "occurred": alert.created_at.isoformat(),
        "event": f"{EVENT_PREFIX}.{alert.kind}",
        "resource": {
            "prefect.resource.id": alert.subject,
            "prefect.resource.name": alert.message[:VALUE_CHARS_MAX],
            "switchyard.alert": alert.kind,
        },
        "related": related,
        "payload": {"message": alert.message, **alert.details},
    }


def _resource(prefix: str, value: object) -> str | None:
    return None if value is None else f"{prefix}.{value}"
