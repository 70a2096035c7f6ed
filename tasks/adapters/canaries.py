"""Canaries judged by what they did: promoted, rolled back with an alert, or left to go on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from models.alert import Alert, AlertKind
from models.canary import Arm, CanaryMove, Verdict, judged
from models.errors import InvalidPolicy, NotFound
from tasks.adapters.alerts import raise_alert
from tasks.adapters.database import Database
from tasks.adapters.runtime import Runtime
from tasks.adapters.store.canaries import Canary, arms_of, end_canary, newest_canaries


@dataclass(frozen=True, slots=True)
class JudgedCanary:
    """A canary with the evidence and what it asks for."""

    canary: Canary
    present: Arm
    arm: Arm
    verdict: Verdict

    def document(self) -> dict[str, Any]:
        """Return the document of the API."""
        return asdict(self.canary) | {
            "present": self.present.model_dump(),
            "canary": self.arm.model_dump(),
            "verdict": self.verdict.model_dump(mode="json"),
        }


async def canary_evidence(database: Database, name: str | None = None) -> list[JudgedCanary]:
    """Return each policy's newest canary with its evidence; nothing is changed.

    Raises NotFound for a policy that never had one.
    """
    found = await newest_canaries(database, name)
    if name is not None and not found:
        raise NotFound(f"policy {name!r} has no canary")
    return [await _judged(database, canary) for canary in found]


async def judge_canaries(opened: Runtime) -> list[JudgedCanary]:
    """Promote or roll back every running canary whose evidence is sure; return all that ran."""
    made = []
    for canary in await newest_canaries(opened.database):
        if canary.ended_at is None:
            made.append(await _acted_upon(opened, await _judged(opened.database, canary)))
    return made


async def _judged(database: Database, canary: Canary) -> JudgedCanary:
    present, arm = await arms_of(database, canary)
    return JudgedCanary(canary, present, arm, judged(present, arm))


async def _acted_upon(opened: Runtime, found: JudgedCanary) -> JudgedCanary:
    canary, verdict = found.canary, found.verdict
    if verdict.move is CanaryMove.WAIT:
        return found
    try:
        ended = await _ended(opened.database, canary.name, verdict)
    except NotFound:  # a person was faster
        return found
    if ended.status == "rolled_back":
        await raise_alert(opened, _alert(ended))
    return JudgedCanary(ended, found.present, found.arm, verdict)


async def _ended(database: Database, name: str, verdict: Verdict) -> Canary:
    if verdict.move is CanaryMove.ROLL_BACK:
        return await end_canary(database, name, "rolled_back", verdict.reason)
    try:
        return await end_canary(database, name, "promoted", verdict.reason)
    except InvalidPolicy as problem:  # another policy has claimed its task types meanwhile
        return await end_canary(database, name, "rolled_back", f"cannot be promoted: {problem}")


def _alert(canary: Canary) -> Alert:
    return Alert(
        kind=AlertKind.CANARY_ROLLED_BACK,
        dedupe_key=f"canary:{canary.name}:{canary.version}",
        subject=f"switchyard.policy.{canary.name}",
        message=f"canary version {canary.version} of policy {canary.name} was rolled back:"
        f" {canary.end_reason}",
        details={"policy": canary.name, "version": canary.version, "share": canary.share},
    )
