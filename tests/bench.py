"""A bench for whole decisions in the lane `ledger`: a runtime, its upstream, and its books."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from deployments.lanes import run_in_lane
from deployments.simulator import Charge, Fault, FaultMatch, FaultRule, RunningSimulator
from models.completion import StreamDelta
from models.request import RoutingRequest
from models.result import RoutingResult
from tasks.adapters.runtime import Runtime
from tasks.adapters.sink import streaming_into

PROMPT = "The importer drops the last row of every file; find the off-by-one and fix it."


@dataclass(frozen=True)
class Bench:
    """A runtime and the simulator it talks to, with what a test wants to know of both."""

    runtime: Runtime
    simulator: RunningSimulator

    async def route(
        self, prompt: str = PROMPT, *, sink: Collected | None = None, **fields: Any
    ) -> RoutingResult:
        """Route one bug fix, streamed into the sink; any field of the request can be given."""
        if "messages" not in fields:
            fields["prompt"] = prompt
        document = {"task_type": "fix_bug", "worker_id": "w1"} | fields
        with streaming_into(sink):
            return await run_in_lane(RoutingRequest.model_validate(document), "ledger")

    def fail(self, fault: Fault | str, match: dict[str, Any] | None = None, **rule: Any) -> None:
        """Let matching requests fail, by default the next one only."""
        rule = {"times": 1} | rule
        self.simulator.add_fault(
            FaultRule(fault=Fault(fault), match=FaultMatch(**(match or {})), **rule)
        )

    async def rows(self, decision_id: UUID | None = None) -> list[DictRow]:
        """The ledger's rows of a decision, or all, oldest first."""
        return await self.runtime.database.fetch_all(
            "SELECT * FROM model_selections WHERE %(id)s::uuid IS NULL OR decision_id = %(id)s"
            " ORDER BY created_at",
            {"id": decision_id},
        )

    async def balance(self) -> tuple[Decimal, Decimal]:
        """Spent and held of the global daily budget."""
        (state,) = [s for s in await self.runtime.ledger.budgets() if s.budget_type == "global"]
        return state.spent_amount, state.reserved_amount

    @property
    def charges(self) -> list[Charge]:
        return self.simulator.charges

    @property
    def true_spend(self) -> Decimal:
        return sum((charge.true_cost for charge in self.charges), Decimal(0))

    @property
    def asked(self) -> int:
        """How many chat requests reached the upstream, answered or refused."""
        counted = self.simulator.simulator.answers
        return sum(n for name, n in counted.items() if "/chat/completions" in name)

    async def assert_money_is_covered(self) -> None:
        """Claim 2 of the design: what is booked or held is never less than what was spent."""
        spent, held = await self.balance()
        assert spent + held >= self.true_spend


@dataclass
class Collected:
    """A sink that remembers: which models were announced, and the text that came."""

    chosen_models: list[str] = field(default_factory=list)
    text: str = ""

    @property
    def started(self) -> bool:
        return bool(self.text)

    async def chosen(self, decision_id: UUID, policy: str, model_id: str) -> None:
        self.chosen_models.append(model_id)

    async def piece(self, delta: StreamDelta) -> None:
        self.text += delta.content
