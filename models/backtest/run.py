"""A changed policy run over the record, decision by decision, in the order of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from models.attempt import Candidate
from models.backtest.balances import Balances, Spending
from models.backtest.direct import DirectModel
from models.backtest.past import Past
from models.backtest.prices import TokenRecord
from models.backtest.quality import QualitySums
from models.backtest.swap import Change, swapped
from models.errors import NotFound
from models.money import CENT_FRACTION, ZERO_USD
from models.policy import PolicyChoice
from models.pricing import ModelCard
from models.selection import select
from models.snapshot import BudgetRoom, Snapshot

NOTHING = "nothing (refused)"


class Recorded(NamedTuple):
    """A decision of the record: its statistics, its moment, its plan's models, its snapshot."""

    past: Past
    at: datetime
    way: tuple[str, ...]
    snapshot: Snapshot


class Again(NamedTuple):
    """What would be asked now: the models, their steps where a selection was made, the budgets."""

    way: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    policy: str
    is_affected: bool
    added: tuple[BudgetRoom, ...] = ()
    asks_two: bool = False


@dataclass(slots=True)
class DaySums:
    """What one day cost."""

    recorded_usd: Decimal = ZERO_USD
    simulated_usd: Decimal = ZERO_USD
    decisions: int = 0


@dataclass(slots=True)
class BacktestRun:
    """The state of a backtest; `add` takes decisions oldest first."""

    change: Change
    prices: Mapping[str, ModelCard]
    balances: Balances
    direct: DirectModel
    tokens: TokenRecord
    quality: QualitySums
    decisions: int = 0
    affected: int = 0
    changed: int = 0
    refused_then: int = 0
    refused_now: int = 0
    priced_today: int = 0
    estimated_decisions: int = 0
    recorded_usd: Decimal = ZERO_USD
    known_usd: Decimal = ZERO_USD
    estimated_usd: Decimal = ZERO_USD
    days: dict[date, DaySums] = field(default_factory=dict)
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, one: Recorded) -> None:
        """Run one decision again, and book what it would have spent."""
        again = self._again(one)
        known, estimated = self._spending(one, again)
        was = {step.model_id: ZERO_USD for step in one.past.steps}
        for step in one.past.steps:
            was[step.model_id] += step.cost_usd
        would_be = dict(known)
        for model_id, usd in estimated.items():
            would_be[model_id] = would_be.get(model_id, ZERO_USD) + usd
        self.balances.book(
            one.snapshot.budgets,
            again.added,
            Spending(one.snapshot.policy.name, was),
            Spending(again.policy, would_be),
            refused=not again.way,
        )
        self._count(one, again, known, estimated)
        past = one.past if again.is_affected else one.past._replace(propensity=1.0)
        self.quality.add(past, again.way, self.direct, asks_two=again.asks_two)

    def _again(self, one: Recorded) -> Again:
        snapshot = one.snapshot
        try:
            choice = self.change.choice(snapshot)
        except NotFound:
            return Again((), (), snapshot.policy.name, is_affected=True)
        rooms, added = self.balances.as_spent(snapshot.budgets), tuple[BudgetRoom, ...]()
        is_affected = choice.policy is not snapshot.policy
        if not is_affected and rooms == snapshot.budgets:
            return Again(one.way, (), choice.policy.name, is_affected=False)
        if is_affected:
            added = self._added(one, choice)
            snapshot, missing = swapped(snapshot, choice, self.prices, one.past.key)
            self.priced_today += missing
        plan = select(replace(snapshot, budgets=(*rooms, *added)))
        way = tuple(candidate.model_id for candidate in plan.candidates)
        asks_two = plan.chain is not None and plan.chain.asks_two
        return Again(way, plan.candidates, choice.policy.name, is_affected, added, asks_two)

    def _added(self, one: Recorded, choice: PolicyChoice) -> tuple[BudgetRoom, ...]:
        """Return the budgets that only the changed policy is paid from."""
        snapshot, policy = one.snapshot, choice.policy
        if snapshot.features.model is not None:
            models = set[str]()
        else:
            before = {entry.model_id for entry in snapshot.policy.models}
            models = {entry.model_id for entry in policy.models} - before
        names = [] if policy.name == snapshot.policy.name else [policy.name]
        return (
            *self.balances.added(one.at, "policy", names),
            *self.balances.added(one.at, "model", sorted(models)),
        )

    def _spending(
        self, one: Recorded, again: Again
    ) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
        """Return what asking again costs by model: as recorded, and as estimated.

        As long as the same models are asked in the same order, the bills are those of the record;
        after that each step costs its estimate times the chance that it is needed.
        """
        past, known, estimated = one.past, dict[str, Decimal](), dict[str, Decimal]()
        chance, on_course = 1.0, not again.asks_two
        for number, model_id in enumerate(again.way):
            if on_course and number < len(past.steps):
                step = past.steps[number]
                if step.model_id == model_id:
                    known[model_id] = known.get(model_id, ZERO_USD) + step.cost_usd
                    if step.accepted or number + 1 == len(past.steps) < past.planned:
                        break
                    continue
            on_course = False
            usd = self._estimate(one, again.candidates[number], chance)
            estimated[model_id] = estimated.get(model_id, ZERO_USD) + usd
            if again.asks_two and number == 0:
                continue
            missed = 1.0 - self.direct.success(past.fold, past.kind, model_id, number)
            chance *= missed * self.direct.noticed(past.fold)
        return known, estimated

    def _estimate(self, one: Recorded, candidate: Candidate, chance: float) -> Decimal:
        features = one.snapshot.features
        whole = self.tokens.estimated_usd(
            candidate, one.past, features.text_tokens_estimate, features.images
        )
        return (whole * Decimal(repr(chance))).quantize(CENT_FRACTION)

    def _count(
        self,
        one: Recorded,
        again: Again,
        known: Mapping[str, Decimal],
        estimated: Mapping[str, Decimal],
    ) -> None:
        recorded_usd, known_usd = one.past.cost_usd, sum(known.values(), ZERO_USD)
        estimated_usd = sum(estimated.values(), ZERO_USD)
        self.decisions += 1
        self.affected += again.is_affected
        self.recorded_usd += recorded_usd
        self.known_usd += known_usd
        self.estimated_usd += estimated_usd
        self.estimated_decisions += bool(estimated)
        self.refused_then += not one.past.planned
        self.refused_now += not again.way
        day = self.days.setdefault(one.at.date(), DaySums())
        day.recorded_usd += recorded_usd
        day.simulated_usd += known_usd + estimated_usd
        day.decisions += 1
        if again.way != one.way:
            self.changed += 1
            self.moves[_first(one.way), _first(again.way)] += 1


def _first(way: Sequence[str]) -> str:
    return way[0] if way else NOTHING
