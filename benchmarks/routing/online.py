"""P3, online: an installation that starts from nothing and sees only what it paid for.

Each request is classified with the caller's label, planned by the product's selection, answered by
the recorded outcome, and counted. Every `EVERY` outcomes of a kind `recompute.reordered` may change
the policy, as the scheduled flow does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from random import Random
from typing import NamedTuple

from benchmarks.routing.datasets import Case, Dataset
from benchmarks.routing.product import Classifier, Router
from models.learning.checks import TRUE_CHECK, Check, CheckAudits
from models.learning.kinds import Kind
from models.learning.posteriors import Outcomes, Posteriors
from models.learning.recompute import reordered

EVERY = 5
AUDITED = 0.1  # share of checked answers whose truth a caller's feedback tells
CHECKPOINTS = (200, 500, 1000)


class Served(NamedTuple):
    """What one request came to: the truth of its answer, what it cost, who answered."""

    success: float
    cost_usd: float
    first: str


Policy = Callable[[int, Case], Served]
"""From a request's number and case to what came of it."""


@dataclass(slots=True)
class Learner:
    """The product, learning as it goes; with a check, its chains escalate."""

    data: Dataset
    value_usd: float
    classes: Classifier
    random: Random
    check: Check | None = None
    outcome: Callable[[int, Case, str], float] | None = None
    posteriors: Posteriors = field(default_factory=Posteriors)
    audits: CheckAudits = field(default_factory=CheckAudits)
    moves: int = 0
    router: Router = field(init=False)
    places: dict[str, int] = field(init=False)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.router = Router(self.data, self.value_usd, escalates=self.check is not None)
        self.places = {case.key: place for place, case in enumerate(self.data.cases)}

    def serve(self, number: int, case: Case) -> Served:
        """Serve one request and learn from it."""
        found = self.classes.of(self.places[case.key])
        kind = Kind(found.task_type, found.complexity.value)
        if self.seen[found.task_type] % EVERY == 0:
            self._recompute(Kind(found.task_type))
        self.seen[found.task_type] += 1
        plan = self.router.plan(found)
        steps = [candidate.model_id for candidate in plan.candidates]
        chain = plan.chain.models if plan.chain is not None and plan.chain.is_followed else ()
        planned = [name for name in steps if name in chain] or steps[:1]
        return self._attempt(number, case, kind, planned)

    def _attempt(self, number: int, case: Case, kind: Kind, steps: Sequence[str]) -> Served:
        """Ask one model after the other until the check accepts; the last answer is served."""
        cost, truth = 0.0, 0.0
        for failed, name in enumerate(steps):
            cost += case.cost_usd[name]
            truth = self._truth(number, case, name)
            accepted = self._accepted(truth)
            self._learn(name, kind._replace(failed_before=failed), truth, accepted,
                        case.cost_usd[name])  # fmt: skip
            if accepted:
                break
        return Served(truth, cost, steps[0])

    def _truth(self, number: int, case: Case, name: str) -> float:
        return case.success[name] if self.outcome is None else self.outcome(number, case, name)

    def _accepted(self, truth: float) -> bool:
        check = self.check or TRUE_CHECK
        return self.random.random() < check.accepts(truth)

    def _learn(self, name: str, kind: Kind, truth: float, accepted: bool, cost: float) -> None:
        """Count an outcome: the truth where it is known, else what the check says of it."""
        known = self.check in (None, TRUE_CHECK)
        audited = not known and self.random.random() < AUDITED
        if audited:
            self.audits.record(accepted=accepted, right=truth > 0.5)
        told = not known and not audited
        counted = float(accepted) if told else truth
        self.posteriors.record(name, kind, Outcomes(counted, cost, told=told))

    def _recompute(self, kind: Kind) -> None:
        check = self.check
        if check not in (None, TRUE_CHECK):
            check = self.posteriors.check = self.audits.check()
        made = reordered(self.router.policy, self.posteriors, self.router.cards, [kind],
                         check=check)  # fmt: skip
        self.moves += len(made.moves)
        self.router.policy = made.policy


class OnlineRow(NamedTuple):
    """One policy at one value of a success: mean utility so far at each checkpoint and over all.

    `worst` is the lowest running mean minus that of the prior-static choice from 500 tasks on, mean
    of the orders and worst order.
    """

    policy: str
    value_usd: float
    at: tuple[float, ...]
    all: float
    half_width: float
    success: float
    usd_per_1000: float
    worst: tuple[float, float] | None = None
    ahead_of_premium: int | None = None
    moves: float = 0.0


@dataclass(slots=True)
class Runs:
    """The utilities of one policy, task by task, in every order of the tasks."""

    policy: str
    value_usd: float
    utilities: list[list[float]] = field(default_factory=list)
    served: list[list[Served]] = field(default_factory=list)
    moves: list[int] = field(default_factory=list)

    def add(self, served: list[Served], moves: int = 0) -> None:
        """Add one order's run."""
        self.served.append(served)
        self.utilities.append([one.success - one.cost_usd / self.value_usd for one in served])
        self.moves.append(moves)

    def row(self, static: Runs | None = None, premium: Runs | None = None) -> OnlineRow:
        """Return the table's row."""
        every = [utility for run in self.utilities for utility in run]
        served = [one for run in self.served for one in run]
        mean, size = _mean(every), len(every) / len(self.utilities)
        deviation = sqrt(_mean([(utility - mean) ** 2 for utility in every]))
        return OnlineRow(
            policy=self.policy,
            value_usd=self.value_usd,
            at=tuple(_mean([_mean(run[:count]) for run in self.utilities])
                     for count in CHECKPOINTS),
            all=mean,
            half_width=1.96 * deviation / sqrt(size),
            success=_mean([one.success for one in served]),
            usd_per_1000=1000 * _mean([one.cost_usd for one in served]),
            worst=None if static is None else _worst(self.utilities, static.utilities),
            ahead_of_premium=None if premium is None else _ahead(self.utilities, premium.utilities),
            moves=_mean([float(count) for count in self.moves]),
        )  # fmt: skip


def orders_of(data: Dataset, seeds: int) -> list[list[int]]:
    """Return the cases in so many shuffled orders."""
    made = []
    for seed in range(seeds):
        places = list(range(len(data.cases)))
        Random(seed).shuffle(places)
        made.append(places)
    return made


def runs_of(
    name: str, value: float, data: Dataset, orders: Sequence[Sequence[int]],
    start: Callable[[int], tuple[Policy, Callable[[], int]]],
) -> Runs:  # fmt: skip
    """Return one policy's runs; `start` makes it anew for each order."""
    runs = Runs(name, value)
    for seed, order in enumerate(orders):
        serve, moves = start(seed)
        served = [serve(number, data.cases[place]) for number, place in enumerate(order)]
        runs.add(served, moves())
    return runs


def always(choose: Callable[[Case], str]) -> Callable[[int], tuple[Policy, Callable[[], int]]]:
    """Return a policy that learns nothing."""

    def serve(_: int, case: Case) -> Served:
        name = choose(case)
        return Served(case.success[name], case.cost_usd[name], name)

    return lambda _: (serve, lambda: 0)


def best_per_task(data: Dataset, value: float) -> dict[str, str]:
    """Return the best model of each true task in hindsight, by utility."""
    by_task: defaultdict[str, list[Case]] = defaultdict(list)
    for case in data.cases:
        by_task[case.task].append(case)
    return {task: best_single(data.models, cases, value) for task, cases in by_task.items()}


def best_single(models: Sequence[str], cases: Sequence[Case], value: float) -> str:
    """Return the best model in hindsight, by utility."""

    def utility(name: str) -> float:
        return sum(case.success[name] - case.cost_usd[name] / value for case in cases)

    return max(models, key=utility)


def _worst(ours: list[list[float]], static: list[list[float]]) -> tuple[float, float]:
    """Return the lowest running mean from 500 tasks on, minus that of the static choice."""
    gaps = []
    for mine, theirs in zip(ours, static, strict=True):
        total, running = 0.0, []
        for count, (a, b) in enumerate(zip(mine, theirs, strict=True), start=1):
            total += a - b
            if count >= CHECKPOINTS[1]:
                running.append(total / count)
        gaps.append(running or [total / len(mine)])
    means = [_mean(column) for column in zip(*gaps, strict=True)]
    return min(means), min(min(running) for running in gaps)


def _ahead(ours: list[list[float]], theirs: list[list[float]]) -> int | None:
    """Return after how many tasks the running mean stays ahead, the median of the orders."""
    found = []
    for mine, other in zip(ours, theirs, strict=True):
        total, last = 0.0, 0
        for count, (a, b) in enumerate(zip(mine, other, strict=True), start=1):
            total += a - b
            if total < 0:
                last = count
        found.append(last + 1 if last < len(mine) else len(mine) + 1)
    middle = sorted(found)[len(found) // 2]
    return None if middle > len(ours[0]) else middle


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
