"""Replay: a stored decision recomputed from its snapshot, identical or with a named difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from models.selection import select
from models.snapshot import from_document


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a recomputed plan differs from the stored one, as `path: stored -> recomputed`."""

    decision_id: UUID
    text: str


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """How many plans were recomputed, and where they differ."""

    replayed: int
    identical: int
    differences: tuple[Difference, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a JSON-ready document."""
        return asdict(self)


def replay_difference(snapshot: dict[str, Any], plan: dict[str, Any]) -> str | None:
    """Return how the plan recomputed from the snapshot differs, or None when it is identical."""
    recomputed = select(from_document(snapshot)).document()
    if recomputed == plan:
        return None
    return "; ".join(_differences("plan", plan, recomputed)) or "differs"


def _differences(path: str, stored: object, recomputed: object) -> Iterator[str]:
    if isinstance(stored, Mapping) and isinstance(recomputed, Mapping):
        for name in sorted({*stored, *recomputed}):
            yield from _differences(f"{path}.{name}", stored.get(name), recomputed.get(name))
    elif (
        isinstance(stored, list)
        and isinstance(recomputed, list)
        and (len(stored) == len(recomputed))
    ):
        for number, (before, after) in enumerate(zip(stored, recomputed, strict=True)):
            yield from _differences(f"{path}[{number}]", before, after)
    elif stored != recomputed:
        yield f"{path}: {stored!r} -> {recomputed!r}"
