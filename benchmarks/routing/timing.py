"""P5, the time of a decision: classify, estimate, select and plan, on one thread, offline."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import NamedTuple

from benchmarks.routing.datasets import STRONG, WEAK, Case, Dataset
from benchmarks.routing.product import Classifier, Router, kinds_of, request_of, table
from benchmarks.routing.splits import splits_of
from models.features import request_features
from models.learning.text_estimator import TextExample, trained_estimator
from models.selection import select

DECISIONS, WARM_UP = 1500, 100


class TimeRow(NamedTuple):
    """Milliseconds of one step; processor time too, because machines are shared."""

    step: str
    median_ms: float
    p95_ms: float
    cpu_median_ms: float
    cpu_p95_ms: float
    decisions: int


class Network:
    """Counts attempts to use the network while it is watched; a hook cannot be taken out."""

    def __init__(self) -> None:
        self.watching, self.seen = False, 0
        sys.addaudithook(self._note)

    def _note(self, event: str, _: tuple[object, ...]) -> None:
        if self.watching and event.startswith("socket."):
            self.seen += 1


def measure_times(data: Dataset, pairs: tuple[Case, ...]) -> tuple[list[TimeRow], int]:
    """Return the rows and how often the network was touched."""
    train, _, test = splits_of(data.cases, 1)[0]
    places = test[:DECISIONS]
    classes = Classifier(data, "learned", train)
    router = Router(data, 0.10)
    router.learn(
        table(data, train, classes, by_complexity=True),
        kinds_of(classes, train, by_complexity=True),
    )
    requests = [request_of(data.cases[place], given=False) for place in places]
    found = [(classes.classify(request), request_features(request)) for request in requests]
    ready = [router.snapshot(kind, features) for kind, features in found]

    def whole(number: int) -> None:
        request = requests[number]
        select(router.snapshot(classes.classify(request), request_features(request)))

    estimator = trained_estimator([TextExample(case.text, case.success) for case in pairs[:1500]])
    texts = [case.text for case in pairs[:DECISIONS]]
    network = Network()
    rows = [
        _row("classify, type learned from words", lambda n: classes.classify(requests[n]),
             len(requests), network),
        _row(f"select and plan among {len(data.models)} models", lambda n: select(ready[n]),
             len(ready), network),
        _row("**the whole decision**", whole, len(requests), network),
        _row("text estimator of two models",
             lambda n: estimator.gain(texts[n], weak=WEAK, strong=STRONG), len(texts), network),
    ]  # fmt: skip
    return rows, network.seen


def _row(name: str, step: Callable[[int], object], count: int, network: Network) -> TimeRow:
    for number in range(min(WARM_UP, count)):
        step(number)
    walls, cpus = [], []
    network.watching = True
    for number in range(count):
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        step(number)
        cpus.append((time.thread_time_ns() - cpu) / 1e6)
        walls.append((time.perf_counter_ns() - wall) / 1e6)
    network.watching = False
    return TimeRow(name, median(walls), quantiles(walls, n=20)[18], median(cpus),
                   quantiles(cpus, n=20)[18], count)  # fmt: skip
