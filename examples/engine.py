"""M5, an engine with several workers: a model for each task, costs and budgets for each worker.

    python examples/engine.py

The intern's budget is smaller than its work: the ledger refuses it in mid-shift while the others
go on, however many of them run at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

from stage import perform, told

from deployments.lanes import run_in_lane
from models.budget import BudgetDefinition
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.runtime import runtime

TASKS = (
    ("health_check", "Is queue {n} draining? Answer in one line."),
    ("summarize", "Summarise ticket {n}: the export takes longer each day."),
    ("fix_bug", "Ticket {n}: the importer drops the last row of every file. Fix it."),
)
SHIFT = 6  # tasks a worker


@dataclass(slots=True)
class Worker:
    """A worker, its budget for the day, and what it did."""

    name: str
    budget_usd: Decimal
    results: list[RoutingResult] = field(default_factory=list)

    async def work(self) -> None:
        """Work off a shift; a refused task is noted and the next one tried."""
        for number in range(SHIFT):
            task_type, prompt = TASKS[number % len(TASKS)]
            request = RoutingRequest(
                prompt=prompt.format(n=f"{self.name}-{number}"),
                task_type=task_type,
                worker_id=self.name,
                max_tokens=500,
            )
            self.results.append(await run_in_lane(request, "ledger"))

    @property
    def cost_usd(self) -> Decimal:
        """What the shift cost."""
        return sum((result.cost_usd for result in self.results), Decimal(0))


async def play() -> list[Worker]:
    """Set each worker's budget, let all work at once, print who cost what."""
    workers = [
        Worker("engineer", Decimal("0.50")),
        Worker("analyst", Decimal("0.20")),
        Worker("intern", Decimal("0.0002")),
    ]
    for worker in workers:
        await runtime().ledger.set_budget(
            BudgetDefinition(
                budget_type="worker",
                scope_key=worker.name,
                budget_period="daily",
                budget_amount=worker.budget_usd,
            )
        )
    await asyncio.gather(*(worker.work() for worker in workers))
    for worker in workers:
        print(f"\n{worker.name}: ${worker.cost_usd} of ${worker.budget_usd}")
        for result in worker.results:
            print(f"  {result.task_type:13} {told(result)}")
    return workers


if __name__ == "__main__":
    perform(play)
