"""The online scenarios: baselines, learning, chains, checks that err, a model that gets worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import NamedTuple

from benchmarks.routing.datasets import Case, Dataset
from benchmarks.routing.online import (
    Learner,
    OnlineRow,
    Policy,
    Runs,
    Served,
    always,
    best_per_task,
    best_single,
    orders_of,
    runs_of,
)
from benchmarks.routing.product import Classifier, Router, kinds_of, table
from benchmarks.routing.splits import splits_of
from models.learning.checks import TRUE_CHECK, Check

VALUES = (0.02, 0.10, 1.0)
NOISE = (Check(0.05, 0.05), Check(0.2, 0.1), Check(0.4, 0.1), Check(0.8, 0.05))
DRIFT_AT, DRIFT_VALUE = 2000, 0.10
DRIFT_SHARE_MAX = 0.55  # of the tasks, where there are fewer than the protocol's
MINI = "openai/gpt-4o-mini"


class DriftRow(NamedTuple):
    """Mean utility before and after a model halves, and after it had it stayed as it was."""

    what: str
    policy: str
    before: float
    after: float
    half_width: float
    asked_first: str


@dataclass(frozen=True, slots=True)
class OnlineResult:
    """All rows of the online part."""

    rows: list[OnlineRow]
    noise: list[OnlineRow]
    drift: list[DriftRow]
    orders: int
    tasks: int


def measure_online(data: Dataset, seeds: int) -> OnlineResult:
    """Run every scenario in every order."""
    orders, classes = orders_of(data, seeds), Classifier(data, "true")
    rows: list[OnlineRow] = []
    for value in VALUES:
        rows += _rows_at(value, data, orders, classes)
    noise = [
        runs_of(
            f"chain, false accepts {check.false_accept:.0%}, false rejects"
            f" {check.false_reject:.0%}",
            DRIFT_VALUE, data, orders, _learner(data, DRIFT_VALUE, classes, check),
        ).row()
        for check in (TRUE_CHECK, *NOISE)
    ]  # fmt: skip
    return OnlineResult(rows, noise, _drift(data, orders, classes), len(orders), len(data.cases))


def _rows_at(
    value: float, data: Dataset, orders: Sequence[Sequence[int]], classes: Classifier
) -> list[OnlineRow]:
    run = partial(runs_of, value=value, data=data, orders=orders)
    by_cost = sorted(data.models, key=lambda name: sum(case.cost_usd[name] for case in data.cases))
    prior = Router(data, value).prior_choice
    static = run(f"prior-static ({prior})", start=always(lambda _: prior))
    premium = run(f"premium ({by_cost[-1]})", start=always(lambda _: by_cost[-1]))
    single = best_single(data.models, data.cases, value)
    tasks = best_per_task(data, value)
    baselines = [
        run("random", start=_random(data)),
        run(f"cheapest ({by_cost[0]})", start=always(lambda _: by_cost[0])),
        premium,
        static,
        run(
            f"best single in hindsight, hull of single models ({single})",
            start=always(lambda _: single),
        ),
        run(
            "table, true type, from all outcomes of the train part",
            start=always(_table(data, value)),
        ),
        run("best per true task in hindsight", start=always(lambda case: tasks[case.task])),
        run("oracle", start=always(lambda case: best_single(data.models, [case], value))),
    ]
    learned = [
        run("**learned order**", start=_learner(data, value, classes, None)),
        run("**learned chain, true check**", start=_learner(data, value, classes, TRUE_CHECK)),
    ]
    return [one.row(static, premium) for one in (*baselines, *learned)]


Start = Callable[[int], tuple[Policy, Callable[[], int]]]


def _learner(data: Dataset, value: float, classes: Classifier, check: Check | None) -> Start:
    def start(seed: int) -> tuple[Policy, Callable[[], int]]:
        learner = Learner(data, value, classes, Random(seed), check)
        return learner.serve, lambda: learner.moves

    return start


def _random(data: Dataset) -> Start:
    def start(seed: int) -> tuple[Policy, Callable[[], int]]:
        random = Random(seed)
        return always(lambda _: random.choice(data.models))(seed)

    return start


def _table(data: Dataset, value: float) -> Callable[[Case], str]:
    """Return the choice of the true-type table; its own train part is among the tasks."""
    classes, train = Classifier(data, "true"), splits_of(data.cases, 1)[0].train
    router = Router(data, value)
    learned = table(data, train, classes, by_complexity=False)
    router.learn(learned, kinds_of(classes, train, by_complexity=False))
    places = {case.key: place for place, case in enumerate(data.cases)}
    return lambda case: router.choice(classes.of(places[case.key]))


def _drift(data: Dataset, orders: Sequence[Sequence[int]], classes: Classifier) -> list[DriftRow]:
    """Return what happens when a model silently halves: the protocol's, and the favourite one."""
    at = min(DRIFT_AT, int(DRIFT_SHARE_MAX * len(data.cases)))
    plain = runs_of("", DRIFT_VALUE, data, orders, _learner(data, DRIFT_VALUE, classes, None))
    firsts = Counter(one.first for served in plain.served for one in served[at - 200 : at])
    favourite = firsts.most_common(1)[0][0]
    rows = []
    for what, name in (("protocol", MINI), ("the learner's favourite", favourite)):
        label = f"{name} halves ({what})"
        halved = partial(_halved, name, at)
        fixed = {f"static ({name})": partial(_always_this, name), **_baselines_in(data, halved)}
        for policy, choose in fixed.items():
            runs = runs_of(policy, DRIFT_VALUE, data, orders, _static(choose, halved))
            rows.append(_drift_row(label, policy, runs, at))
        for policy, check in (("**learned order**", None), ("**learned chain**", TRUE_CHECK)):
            runs = runs_of(
                policy, DRIFT_VALUE, data, orders, _drifting(data, classes, check, halved)
            )
            rows.append(_drift_row(label, policy, runs, at))
    return rows


def _always_this(name: str, _number: int, _case: Case) -> str:
    return name


def _halved(name: str, at: int, number: int, case: Case, asked: str) -> float:
    """Return the outcome: from `at` on every second success of the model is none, by the prompt."""
    if asked != name or number < at:
        return case.success[asked]
    return case.success[asked] * Random(f"halved {case.key}").getrandbits(1)


Outcome = Callable[[int, Case, str], float]


def _static(choose: Callable[[int, Case], str], outcome: Outcome) -> Start:
    def serve(number: int, case: Case) -> Served:
        name = choose(number, case)
        return Served(outcome(number, case, name), case.cost_usd[name], name)

    return lambda _: (serve, lambda: 0)


def _baselines_in(data: Dataset, outcome: Outcome) -> dict[str, Callable[[int, Case], str]]:
    """Return what learns nothing; hindsight knows the outcomes from before the model got worse."""
    models, value, tasks = data.models, DRIFT_VALUE, best_per_task(data, DRIFT_VALUE)
    by_cost = sorted(models, key=lambda name: sum(case.cost_usd[name] for case in data.cases))
    prior = Router(data, value).prior_choice
    single, by_type = best_single(models, data.cases, value), _table(data, value)

    def right_now(number: int, case: Case) -> str:
        return max(models, key=lambda one: outcome(number, case, one) - case.cost_usd[one] / value)

    return {
        "random": lambda _, case: Random(f"random {case.key}").choice(models),
        f"cheapest ({by_cost[0]})": lambda *_: by_cost[0],
        f"premium ({by_cost[-1]})": lambda *_: by_cost[-1],
        f"prior-static ({prior})": lambda *_: prior,
        f"best single in hindsight, hull of single models ({single})": lambda *_: single,
        "table, true type, from all outcomes of the train part": lambda _, case: by_type(case),
        "best per true task in hindsight": lambda _, case: tasks[case.task],
        "oracle": right_now,
    }


def _drifting(data: Dataset, classes: Classifier, check: Check | None, outcome: Outcome) -> Start:
    def start(seed: int) -> tuple[Policy, Callable[[], int]]:
        learner = Learner(data, DRIFT_VALUE, classes, Random(seed), check, outcome)
        return learner.serve, lambda: learner.moves

    return start


def _drift_row(what: str, policy: str, runs: Runs, at: int) -> DriftRow:
    before = Runs(policy, runs.value_usd, [run[:at] for run in runs.utilities],
                  [run[:at] for run in runs.served], [0])  # fmt: skip
    after = Runs(policy, runs.value_usd, [run[at:] for run in runs.utilities],
                 [run[at:] for run in runs.served], [0])  # fmt: skip
    firsts = Counter(one.first for served in after.served for one in served[-300:])
    row = after.row()
    return DriftRow(what, policy, before.row().all, row.all, row.half_width,
                    firsts.most_common(1)[0][0])  # fmt: skip
