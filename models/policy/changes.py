"""What applying a policy would change, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from models.policy.content import Policy


class FieldChange(BaseModel):
    """One field of one policy, before and after; null before where the policy is new."""

    model_config = ConfigDict(frozen=True)

    policy: str
    field: str
    before: Any  # JSON, as the policy's document has it
    after: Any


def field_changes(before: Policy | None, after: Policy) -> tuple[FieldChange, ...]:
    """Return the fields that differ, in the order of the policy's document; of a new one all."""
    old = {} if before is None else _document(before)
    return tuple(
        FieldChange(policy=after.name, field=name, before=old.get(name), after=value)
        for name, value in _document(after).items()
        if before is None or old.get(name) != value
    )


def _document(policy: Policy) -> dict[str, Any]:
    return policy.stored() | {"is_active": policy.is_active}


def change_lines(change: FieldChange) -> Iterator[str]:
    """Yield a field's change as lines for people; of a list what goes and what comes."""
    before, after = change.before, change.after
    if not (isinstance(before, list) and isinstance(after, list)):
        yield f"{change.field}: {_said(before)} -> {_said(after)}"
        return
    gone = [_said(part) for part in before if part not in after]
    come = [_said(part) for part in after if part not in before]
    if not gone and not come:
        yield f"{change.field}: the order changes"
    yield from (f"{change.field}: - {part}" for part in gone)
    yield from (f"{change.field}: + {part}" for part in come)


def _said(value: object) -> str:
    if value is None or value == []:
        return "nothing"
    if isinstance(value, dict) and "priority" in value:
        return f"{value['priority']} {value['model']}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(part)}" for name, part in value.items() if part)
    if isinstance(value, list):
        return ", ".join(_said(part) for part in value)
    return str(value)
