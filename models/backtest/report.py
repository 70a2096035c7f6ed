"""The backtest's report: what would have been spent, how well, and on what that knowledge rests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from models.backtest.past import FOLDS
from models.backtest.quality import Quality
from models.backtest.run import BacktestRun
from models.money import ZERO_USD, plain

MOVES_MAX, BUDGETS_MAX = 20, 50
SignedUsd = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]
ASSUMPTIONS = (
    "the requests would have come as they came, at the same times, in the same words",
    "a model asked in the same place as in the record costs and brings what it did then",
    "another model costs its price then (today's, where the record has none) for the tokens that"
    " its recorded answers in the type took; a fallback counts with the chance that it is needed",
    "money held by others at the moment stays as recorded; a budget that only the changed policy"
    " is paid from starts the span empty; work that was refused is not asked again",
    "two models asked at once are taken to bring what asking them in turn does",
    "success is the last word of feedback, else an answer that came and passed its checks",
)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class CostChange(_Document):
    """Spending as recorded and under the changed policy."""

    recorded_usd: SignedUsd
    simulated_usd: SignedUsd
    change_usd: SignedUsd
    known_usd: SignedUsd = Field(description="Part of the simulated cost that is recorded bills")
    estimated_usd: SignedUsd = Field(description="Part of it that is estimated from tokens")
    known_share: float = Field(description="Decisions whose whole cost is recorded bills")
    priced_today_share: float = Field(description="Decisions for which today's prices stand in")


class DayChange(_Document):
    """One day, UTC."""

    day: date
    decisions: int
    recorded_usd: SignedUsd
    simulated_usd: SignedUsd


class BudgetCourse(_Document):
    """A budget's period after its last decision in the span."""

    budget: str
    period_end: datetime | None
    amount_usd: SignedUsd
    recorded_usd: SignedUsd | None = Field(description="Null: only the changed policy pays from it")
    simulated_usd: SignedUsd
    refused: int = Field(description="Requests refused that it covers, under the changed policy")


class MoveCount(_Document):
    """How many decisions would ask another model first."""

    from_model: str
    to_model: str
    decisions: int


class PolicyChange(_Document):
    """One policy of the change."""

    name: str
    version: int | None = Field(description="The version in force, null for a new policy")
    change: str


class BacktestReport(_Document):
    """A changed policy over recorded decisions."""

    since: datetime
    until: datetime
    policies: list[PolicyChange]
    decisions: int
    affected: int = Field(description="Decisions that the changed policies serve or lose")
    changed: int = Field(description="Decisions whose plan differs")
    refused_recorded: int
    refused_simulated: int
    left_out: dict[str, int] = Field(description="Decisions that say nothing, by reason")
    cost: CostChange
    success: Quality | None = Field(description="Null where no decision is left")
    days: list[DayChange]
    budgets: list[BudgetCourse]
    moves: list[MoveCount]
    assumptions: list[str]


def backtest_report(
    run: BacktestRun,
    *,
    since: datetime,
    until: datetime,
    policies: list[PolicyChange],
    left_out: Mapping[str, int],
) -> BacktestReport:
    """Return the report of a run."""
    folds = f"the direct model is fitted {FOLDS} times, each time without the part it speaks of"
    return BacktestReport(
        since=since,
        until=until,
        policies=policies,
        decisions=run.decisions,
        affected=run.affected,
        changed=run.changed,
        refused_recorded=run.refused_then,
        refused_simulated=run.refused_now,
        left_out=dict(left_out),
        cost=_cost(run),
        success=run.quality.quality(run.direct) if run.decisions else None,
        days=[
            DayChange(
                day=day,
                decisions=sums.decisions,
                recorded_usd=sums.recorded_usd,
                simulated_usd=sums.simulated_usd,
            )
            for day, sums in sorted(run.days.items())
        ],
        budgets=_courses(run),
        moves=[
            MoveCount(from_model=one, to_model=other, decisions=count)
            for (one, other), count in run.moves.most_common(MOVES_MAX)
        ],
        assumptions=[*ASSUMPTIONS, folds],
    )


def _cost(run: BacktestRun) -> CostChange:
    simulated_usd, total = run.known_usd + run.estimated_usd, max(1, run.decisions)
    return CostChange(
        recorded_usd=run.recorded_usd,
        simulated_usd=simulated_usd,
        change_usd=simulated_usd - run.recorded_usd,
        known_usd=run.known_usd,
        estimated_usd=run.estimated_usd,
        known_share=1.0 - run.estimated_decisions / total,
        priced_today_share=run.priced_today / total,
    )


def _courses(run: BacktestRun) -> list[BudgetCourse]:
    """Return the fullest budgets first: where the change bites is at the top."""
    made = [
        BudgetCourse(
            budget=name,
            period_end=ends,
            amount_usd=course.room.amount_usd,
            recorded_usd=course.recorded_usd if course.is_recorded else None,
            simulated_usd=course.simulated_usd,
            refused=course.refused,
        )
        for (name, ends), course in run.balances.courses.items()
    ]
    made.sort(key=lambda one: (-_fullness(one), one.budget, str(one.period_end)))
    return made[:BUDGETS_MAX]


def _fullness(course: BudgetCourse) -> Decimal:
    most = max(course.simulated_usd, course.recorded_usd or ZERO_USD)
    return most / course.amount_usd if course.amount_usd else Decimal(most > ZERO_USD)
