"""P2, many models: success against cost, every choice made by the product's own selection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.routing.curves import Held, Point, weighted_point
from benchmarks.routing.datasets import Dataset
from benchmarks.routing.frame import Frame, ManyRow, PointOf
from benchmarks.routing.product import Classifier, Router, kinds_of, table
from benchmarks.routing.splits import Split, splits_of
from benchmarks.routing.statistics import bootstrap

# Values of a success in USD, from where only price counts to where it hardly does.
VALUES = tuple(10 ** (exponent / 8) for exponent in range(-34, 17))


@dataclass(slots=True)
class Method:
    """The settings of one method for every seed, with their mean points on dev and test."""

    name: str
    dev: list[list[Point]] = field(default_factory=list)
    test: list[list[PointOf]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ManyResult:
    """The rows of a data set, its curves of seed 0, and how well types were inferred."""

    data: str
    rows: list[ManyRow]
    curves: dict[str, list[Point]]
    type_accuracy: float
    best_single: str
    tested_on: int


class _Choices:
    """Mean points of choices of models on the cases of a data set."""

    def __init__(self, data: Dataset) -> None:
        self.data, self.plain = data, [1.0] * len(data.cases)
        self._held: dict[int, Held] = {}

    def held(self, places: Sequence[int]) -> Held:
        """Return the weights of a part; parts live as long as the measurement."""
        found = self._held.get(id(places))
        if found is None:
            found = self._held[id(places)] = Held(places)
        return found

    def point_of(self, places: Sequence[int], choose: Callable[[int], str]) -> PointOf:
        chosen = [(self.data.cases[place], choose(place)) for place in places]
        return weighted_point(
            self.held(places),
            [case.success[name] for case, name in chosen],
            [case.cost_usd[name] for case, name in chosen],
        )

    def always(self, name: str, places: Sequence[int]) -> PointOf:
        return self.point_of(places, lambda _: name)

    def mean(self, places: Sequence[int]) -> PointOf:
        """Return the point of a model drawn at random, on average."""
        cases, models = [self.data.cases[place] for place in places], self.data.models
        return weighted_point(
            self.held(places),
            [sum(case.success[name] for name in models) / len(models) for case in cases],
            [sum(case.cost_usd[name] for name in models) / len(models) for case in cases],
        )

    def best(self, places: Sequence[int]) -> str:
        cases = [self.data.cases[place] for place in places]
        return max(self.data.models, key=lambda name: sum(case.success[name] for case in cases))


def measure_many(data: Dataset, seeds: int) -> ManyResult:
    """Return every method and baseline on a data set."""
    choices, splits = _Choices(data), splits_of(data.cases, seeds)
    draws = bootstrap(len(data.cases))
    methods, accuracy = _learned_methods(choices, splits)
    fixed = _baselines(choices, splits)
    frame = Frame(choices.always, choices.best, data.models, splits, draws)
    frame.learn_oracle(fixed["oracle (cheapest right)"])
    rows = [frame.fixed_row(name, points) for name, points in fixed.items()]
    rows += [frame.curve_row(one.name, one.dev, one.test) for one in methods]
    curves = {one.name: [point(choices.plain) for point in one.test[0]] for one in methods}
    curves["always one model"] = [
        choices.always(name, splits[0].test)(choices.plain) for name in data.models
    ]
    tested = sum(len(one.test) for one in splits) // len(splits)
    return ManyResult(data.name, rows, curves, accuracy, frame.references[0], tested)


def _learned_methods(choices: _Choices, splits: Sequence[Split]) -> tuple[list[Method], float]:
    methods = [Method(name) for name in ("hull of single models", *_TABLES)]
    right = total = 0
    for one in splits:
        for method, points in zip(methods, _curves_of(choices, one), strict=True):
            method.dev.append([point(choices.plain) for point in points[0]])
            method.test.append(points[1])
        classes = Classifier(choices.data, "learned", one.train)
        for place in one.test:
            right += classes.of(place).task_type == choices.data.cases[place].task
        total += len(one.test)
    return methods, right / total


_TABLES = {
    "table, true type": ("true", False),
    "table, type by fixed rules": ("rules", False),
    "**table, type inferred**": ("learned", False),
    "**table, type inferred, by complexity**": ("learned", True),
}


Settings = tuple[list[PointOf], list[PointOf]]
"""The points of a method's settings on the dev part, and on the test part."""


def _curves_of(choices: _Choices, one: Split) -> list[Settings]:
    singles = (
        [choices.always(name, one.dev) for name in choices.data.models],
        [choices.always(name, one.test) for name in choices.data.models],
    )
    tables = (_table_settings(choices, one, *made) for made in _TABLES.values())
    return [singles, *tables]


def _table_settings(choices: _Choices, one: Split, types: str, by_complexity: bool) -> Settings:
    """Return one setting for every value at which some kind's first choice changes."""
    classes = Classifier(choices.data, types, one.train)
    learned = table(choices.data, one.train, classes, by_complexity=by_complexity)
    kinds = kinds_of(classes, one.train, by_complexity=by_complexity)
    settings: Settings = ([], [])
    before: list[str] = []
    for value in VALUES:
        router = Router(choices.data, value)
        router.learn(learned, kinds)
        firsts = [order.models[0] for order in router.policy.orders]
        if firsts != before:
            before = firsts
            for held, places in zip(settings, (one.dev, one.test), strict=True):
                held.append(choices.point_of(places, router.chooser(classes)))
    return settings


def _baselines(choices: _Choices, splits: Sequence[Split]) -> dict[str, list[PointOf]]:
    data = choices.data
    prior = {value: _prior_choice(data, value) for value in (0.02, 0.10, 1.0)}
    cheap, dear = _by_price(data)
    found: dict[str, list[PointOf]] = {
        "random": [choices.mean(one.test) for one in splits],
        "cheapest": [choices.always(cheap, one.test) for one in splits],
        "premium (dearest)": [choices.always(dear, one.test) for one in splits],
    }
    for value, name in prior.items():
        found[f"prior-static, V=${value:g} ({name})"] = [
            choices.always(name, one.test) for one in splits
        ]
    found["best single in hindsight"] = [
        choices.always(choices.best(one.test), one.test) for one in splits
    ]
    found["best per true type in hindsight"] = [_per_type(choices, one) for one in splits]
    found["oracle (cheapest right)"] = [
        choices.point_of(one.test, lambda place: _cheapest_right(data, place)) for one in splits
    ]
    return found


def _prior_choice(data: Dataset, value: float) -> str:
    return Router(data, value).prior_choice


def _by_price(data: Dataset) -> tuple[str, str]:
    """Return the cheapest and the dearest model by what all recorded calls cost."""

    def cost(name: str) -> float:
        return sum(case.cost_usd[name] for case in data.cases)

    return min(data.models, key=cost), max(data.models, key=cost)


def _per_type(choices: _Choices, one: Split) -> PointOf:
    by_task: dict[str, list[int]] = {}
    for place in one.test:
        by_task.setdefault(choices.data.cases[place].task, []).append(place)
    best = {task: choices.best(places) for task, places in by_task.items()}
    return choices.point_of(one.test, lambda place: best[choices.data.cases[place].task])


def _cheapest_right(data: Dataset, place: int) -> str:
    case = data.cases[place]
    return min(data.models, key=lambda name: (-case.success[name], case.cost_usd[name]))
