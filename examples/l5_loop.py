"""L5, the whole loop: find, investigate, repair with a person's consent, verify, report.

    python examples/l5_loop.py [--yes]

One flow that calls the others. The repair waits until somebody approves its price; the money is
held meanwhile. Without --yes you are asked here; `switchyard approve ID` does the same.
"""

from __future__ import annotations

import asyncio
import sys
import time
from uuid import UUID

from logs_crawler import SAMPLE, crawl_logs
from prefect import flow
from self_heal import SERVICES, self_heal
from stage import perform, told

from deployments.lanes import resume_here
from flows.route_within import route_within
from models.errors import WorldFailed
from models.request import RoutingRequest
from models.result import RoutingResult, Status
from tasks.adapters.approvals import answer_approval
from tasks.adapters.decisions import finished_result
from tasks.adapters.parking import release_decision
from tasks.adapters.runtime import runtime

REPAIR_WAIT_S = 120.0


async def repair(kind: str, cause: str) -> RoutingResult:
    """Ask for the repair; above a hundredth of a cent a person decides first."""
    request = RoutingRequest(
        prompt=f"{kind}\nCause: {cause}\nWrite the fix as a diff.",
        task_type="fix_bug",
        worker_id="l5",
        approval_above_usd="0.0001",
        max_tokens=800,
    )
    return await route_within(request, step=f"repair {kind}")


async def consented(asked: RoutingResult, *, unattended: bool) -> RoutingResult:
    """Have a waiting repair answered by a person, and wait for what comes of it."""
    if asked.status is not Status.AWAITING_APPROVAL:
        return asked
    approve = unattended or await asyncio.to_thread(ask_at_terminal, asked)
    opened, decision_id = runtime(), asked.decision_id
    await answer_approval(opened, decision_id, approve=approve, approver="the example's user")
    await release_decision(opened, decision_id, run_here=resume_here)
    return await ended(decision_id)


async def ended(decision_id: UUID) -> RoutingResult:
    """Return the result once it is there: a flow run of a worker may be on it."""
    deadline = time.monotonic() + REPAIR_WAIT_S
    while time.monotonic() < deadline:
        result = await finished_result(decision_id)
        if result is not None and result.status is not Status.AWAITING_APPROVAL:
            return result
        await asyncio.sleep(0.5)
    raise WorldFailed(f"the repair {decision_id} has not ended in {REPAIR_WAIT_S:.0f} s")


async def verify(kind: str, fix: str) -> RoutingResult:
    """Have the repair judged by a model of another policy than wrote it."""
    request = RoutingRequest(
        prompt=f"Does this fix remove the cause of {kind!r}? Start with yes or no.\n\n{fix}",
        task_type="code_review",
        policy="deep_research",
        worker_id="l5",
        max_tokens=300,
    )
    return await route_within(request, step=f"verify {kind}")


@flow(name="l5-loop")
async def l5_loop(log: str, services: dict[str, str], unattended: bool) -> list[RoutingResult]:
    """Heal services, crawl the log, repair what was found with consent, verify, report."""
    healed = await self_heal(services)
    results = [result for done in healed.values() for result in done]
    for kind, investigation in (await crawl_logs(log)).items():
        asked = await repair(kind, investigation.content or "unknown")
        repaired = await consented(asked, unattended=unattended)
        results += [investigation, repaired]
        if repaired.status is Status.COMPLETED:
            results.append(await verify(kind, repaired.content or ""))
    lines = "\n".join(f"{one.task_type}: {one.status}" for one in results)
    report = RoutingRequest(
        prompt=f"Report to the team in five lines:\n{lines}", task_type="report", worker_id="l5"
    )
    return [*results, await route_within(report, step="report")]


def ask_at_terminal(asked: RoutingResult) -> bool:
    """Ask the person at the terminal."""
    price = asked.estimated_cost_usd
    return input(f"Repair with {asked.model} for at most ${price}? [y/N] ").strip() == "y"


async def play(unattended: bool = False) -> list[RoutingResult]:
    """Run the loop on the samples and print every decision; unattended, everything is approved."""
    results = await l5_loop(SAMPLE, SERVICES, unattended)
    for result in results:
        print(f"{result.task_type:17} {told(result)}")
    return results


if __name__ == "__main__":
    perform(lambda: play(unattended="--yes" in sys.argv))
