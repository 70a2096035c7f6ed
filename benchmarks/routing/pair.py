"""P1, two models: which prompts need the strong one, by RouteLLM's measures on its own outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.routing.curves import Ranking
from benchmarks.routing.datasets import STRONG, WEAK, Case, pair
from benchmarks.routing.splits import bucket, by_task, first_of, splits_of
from benchmarks.routing.statistics import Measured, bootstrap, measured
from models.learning.kinds import Kind
from models.learning.posteriors import Belief, Outcomes, Posteriors
from models.learning.text_estimator import TextExample, trained_estimator

MMLU_LABELS = 1500


class PairRow(NamedTuple):
    """One method on one data set."""

    data: str
    method: str
    apgr: Measured
    cpt50: float
    cpt80: float
    trained_on: int
    tested_on: int
    weak_success: float
    strong_success: float


Score = Callable[[int], float]
Method = Callable[[Sequence[Case], Sequence[int], int], Score]


def pair_rows(folder: Path, seeds: int) -> list[PairRow]:
    """Return all methods on MMLU with 1,500 labels, on unseen subjects, and on GSM8K."""
    mmlu, gsm = pair(folder, "mmlu"), pair(folder, "gsm8k")
    rows = _rows("MMLU, 1,500 labels", mmlu, _parts(mmlu, seeds, MMLU_LABELS))
    rows += _rows("MMLU, unseen subjects", mmlu, _unseen(mmlu, seeds))
    rows += _rows("GSM8K, 50 %", gsm, _parts(gsm, seeds, len(gsm)))
    return rows + _rows("GSM8K, trained on MMLU", *_transfer(mmlu, gsm, seeds))


Parts = list[tuple[list[int], list[int]]]


def _parts(cases: Sequence[Case], seeds: int, labels: int) -> Parts:
    return [
        (first_of(found.train, cases, labels, seed), list(found.test))
        for seed, found in enumerate(splits_of(cases, seeds))
    ]


def _unseen(cases: Sequence[Case], seeds: int) -> Parts:
    found = [by_task(cases, seed) for seed in range(seeds)]
    return [(list(one.train), list(one.test)) for one in found]


def _transfer(
    mmlu: Sequence[Case], gsm: Sequence[Case], seeds: int
) -> tuple[tuple[Case, ...], Parts]:
    cases = (*mmlu, *gsm)
    train, test = range(len(mmlu)), range(len(mmlu), len(cases))
    return cases, [
        (first_of(list(train), cases, MMLU_LABELS, seed), list(test)) for seed in range(seeds)
    ]


def _rows(name: str, cases: Sequence[Case], parts: Parts) -> list[PairRow]:
    draws = bootstrap(len(cases))
    return [_row(name, method, make, cases, parts, draws) for method, make in METHODS.items()]


def _row(name: str, method: str, make: Method, cases: Sequence[Case], parts: Parts,
         draws: list[list[float]]) -> PairRow:  # fmt: skip
    weak = [case.success[WEAK] for case in cases]
    strong = [case.success[STRONG] for case in cases]
    rankings = []
    for seed, (train, test) in enumerate(parts):
        score = make(cases, train, seed)
        ranked = {place: score(place) for place in test}
        order = sorted(test, key=lambda place: (-ranked[place], _tie(cases[place])))
        rankings.append(Ranking(order, weak, strong))
    seeds = len(parts)
    return PairRow(
        data=name,
        method=method,
        apgr=measured([one.gap_recovered for one in rankings], draws, len(cases)),
        cpt50=sum(one.calls_needed(0.5) for one in rankings) / seeds,
        cpt80=sum(one.calls_needed(0.8) for one in rankings) / seeds,
        trained_on=sum(len(train) for train, _ in parts) // seeds,
        tested_on=sum(len(test) for _, test in parts) // seeds,
        weak_success=_mean_success(weak, parts),
        strong_success=_mean_success(strong, parts),
    )


def _mean_success(outcomes: Sequence[float], parts: Parts) -> float:
    tested = [outcomes[place] for _, test in parts for place in test]
    return sum(tested) / len(tested)


def _tie(case: Case) -> int:
    return bucket(f"tie {case.key}", 0)


def _by_text(cases: Sequence[Case], train: Sequence[int], seed: int) -> Score:
    """Rank by the product's text estimator: the gain of the strong model over the weak one."""
    examples = [TextExample(cases[place].text, cases[place].success) for place in train]
    estimator = trained_estimator(examples, seed)
    return lambda place: estimator.gain(cases[place].text, weak=WEAK, strong=STRONG)


def _by_true_type(cases: Sequence[Case], train: Sequence[int], seed: int) -> Score:
    """Rank by the product's table, the true subject given as the caller's label."""
    made = Posteriors(discount=1.0)
    for place in train:
        case = cases[place]
        for name in (WEAK, STRONG):
            made.record(name, Kind(case.task), Outcomes(case.success[name], 0.0))
    flat = Belief(0.5, 1.0, 0.0)

    def score(place: int) -> float:
        kind = Kind(cases[place].task)
        strong, weak = (made.estimate(name, kind, flat).success for name in (STRONG, WEAK))
        return strong - weak

    return score


def _at_random(cases: Sequence[Case], train: Sequence[int], seed: int) -> Score:
    return lambda place: float(bucket(f"random {cases[place].key}", seed))


def _by_length(cases: Sequence[Case], train: Sequence[int], seed: int) -> Score:
    return lambda place: float(len(cases[place].text))


def _by_hindsight(cases: Sequence[Case], train: Sequence[int], seed: int) -> Score:
    """Rank true subjects by what the strong model gained in them, the tested prompts included."""
    gains: defaultdict[str, list[float]] = defaultdict(list)
    for case in cases:
        gains[case.task].append(case.success[STRONG] - case.success[WEAK])
    mean = {task: sum(found) / len(found) for task, found in gains.items()}
    return lambda place: mean[cases[place].task]


def _oracle(cases: Sequence[Case], train: Sequence[int], seed: int) -> Score:
    return lambda place: cases[place].success[STRONG] - cases[place].success[WEAK]


METHODS: dict[str, Method] = {
    "random": _at_random,
    "length of the prompt": _by_length,
    "table, true subject": _by_true_type,
    "**text estimator**": _by_text,
    "best per true subject in hindsight": _by_hindsight,
    "oracle": _oracle,
}
