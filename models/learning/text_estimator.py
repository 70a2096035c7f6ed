"""Which of two models a prompt needs, by its text: optional, trained on an installation's outcomes.

Hashed words and word pairs and a few counts, logistic regression by AdaGrad, for every model its
own weights; requests are ranked by how much likelier the stronger model is to succeed. No library,
no download, the same weights from the same outcomes. It only knows the kind of prompts that it saw:
on subjects it never met it is barely better than chance (docs of `benchmarks/routing`), and among
many models the tables of `posteriors` do better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from random import Random
from typing import Any, NamedTuple

from models.learning.text_features import SHAPE_COUNT, Words, hashed_words, read_part, shape_of

EPOCHS, STEP, SHAPE_STEP = 4, 0.05, 0.015
PAIR_SHARE = 0.5  # how loud a pair of words is beside a word
EXAMPLES_MIN = 50
SPREAD_MIN = 1e-6  # below it a count is the same in all prompts, but for rounding


class TextExample(NamedTuple):
    """A prompt and how each model did on it, from 0 (failed) to 1."""

    text: str
    outcomes: Mapping[str, float]


class _Seen(NamedTuple):
    found: Words
    shape: list[float]
    outcomes: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """The regression of one model."""

    start: float
    shape: tuple[float, ...]
    words: dict[int, float]

    def probability(self, found: Words, shape: Sequence[float]) -> float:
        """Return P(success) for these features."""
        total = _said(self.words, found) * _loudness(found)
        total += sum([a * b for a, b in zip(self.shape, shape, strict=True)])
        return _logistic(total + self.start)


@dataclass(frozen=True, slots=True)
class TextEstimator:
    """What was learned, for every model of the training outcomes."""

    means: tuple[float, ...]
    spreads: tuple[float, ...]
    models: dict[str, ModelWeights]
    examples: int

    def estimate(self, text: str) -> dict[str, float]:
        """Return P(success) of every model."""
        part = read_part(text)
        found = hashed_words(part)
        shape = _scaled(shape_of(part), self.means, self.spreads)
        return {name: one.probability(found, shape) for name, one in self.models.items()}

    def gain(self, text: str, *, weak: str, strong: str) -> float:
        """Return by how much likelier the strong model is to succeed than the weak one."""
        found = self.estimate(text)
        return found[strong] - found[weak]

    def document(self) -> dict[str, Any]:
        """Return everything as a JSON document, weights to five digits."""
        return {
            "means": self.means,
            "spreads": self.spreads,
            "examples": self.examples,
            "models": {
                name: {
                    "start": one.start,
                    "shape": one.shape,
                    "words": {str(key): round(w, 5) for key, w in sorted(one.words.items())},
                }
                for name, one in sorted(self.models.items())
            },
        }


def estimator_from(document: dict[str, Any]) -> TextEstimator:
    """Return the estimator of a document."""
    return TextEstimator(
        means=tuple(document["means"]),
        spreads=tuple(document["spreads"]),
        models={
            name: ModelWeights(
                start=one["start"],
                shape=tuple(one["shape"]),
                words={int(bucket): weight for bucket, weight in one["words"].items()},
            )
            for name, one in document["models"].items()
        },
        examples=document["examples"],
    )


def trained_estimator(examples: Iterable[TextExample], seed: int = 0) -> TextEstimator:
    """Return the estimator of these outcomes; raises ValueError below `EXAMPLES_MIN` of them."""
    shapes, rows = [], []
    for example in examples:
        part = read_part(example.text)
        shapes.append(shape_of(part))
        rows.append((hashed_words(part), example.outcomes))
    if len(rows) < EXAMPLES_MIN:
        raise ValueError(f"{len(rows)} outcomes teach nothing, at least {EXAMPLES_MIN} are needed")
    columns = list(zip(*shapes, strict=True))
    means = tuple(sum(column) / len(column) for column in columns)
    spreads = tuple(_spread(column, mean) for column, mean in zip(columns, means, strict=True))
    seen = [
        _Seen(found, _scaled(shape, means, spreads), outcomes)
        for (found, outcomes), shape in zip(rows, shapes, strict=True)
    ]
    names = sorted({name for one in seen for name in one.outcomes})
    models = {name: _fitted(name, seen, seed) for name in names}
    return TextEstimator(means, spreads, models, len(rows))


def _fitted(name: str, examples: Sequence[_Seen], seed: int) -> ModelWeights:
    known = [(one, one.outcomes[name]) for one in examples if name in one.outcomes]
    rate = (sum(outcome for _, outcome in known) + 1.0) / (len(known) + 2.0)
    fit = _Fit(log(rate / (1.0 - rate)))
    order = Random(seed)
    for _ in range(EPOCHS):
        order.shuffle(known)
        for one, outcome in known:
            fit.step(one, outcome)
    return ModelWeights(fit.start, tuple(fit.shape), fit.words)


class _Fit:
    """AdaGrad: every weight moves less, the more it has moved."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.words: dict[int, float] = {}
        self.shape = [0.0] * SHAPE_COUNT
        self._moved: dict[int, float] = {}
        self._shape_moved = [1e-8] * SHAPE_COUNT

    def step(self, one: _Seen, outcome: float) -> None:
        """Move the weights by one outcome."""
        words, moved = self.words, self._moved
        loudness = _loudness(one.found)
        total = self.start + loudness * _said(words, one.found)
        total += sum([a * b for a, b in zip(self.shape, one.shape, strict=True)])
        error = _logistic(total) - outcome
        for buckets, share in ((one.found.single, 1.0), (one.found.paired, PAIR_SHARE)):
            pull = error * loudness * share
            for bucket in buckets:
                squares = moved[bucket] = moved.get(bucket, 1e-8) + pull * pull
                words[bucket] = words.get(bucket, 0.0) - STEP * share * pull / sqrt(squares)
        for number, amount in enumerate(one.shape):
            slope = error * amount
            self._shape_moved[number] += slope * slope
            self.shape[number] -= SHAPE_STEP * slope / sqrt(self._shape_moved[number])
        self.start -= 0.01 * error


def _said(weights: Mapping[int, float], found: Words) -> float:
    weight = weights.get
    singles = sum([weight(bucket, 0.0) for bucket in found.single])
    return singles + PAIR_SHARE * sum([weight(bucket, 0.0) for bucket in found.paired])


def _loudness(found: Words) -> float:
    """Return the factor that makes long prompts no louder than short ones."""
    return 1.0 / sqrt(len(found.single) + PAIR_SHARE**2 * len(found.paired) or 1.0)


def _scaled(
    shape: Sequence[float], means: Sequence[float], spreads: Sequence[float]
) -> list[float]:
    """Return the counts in spreads from their mean, together no louder than the words."""
    scale = 1.0 / sqrt(SHAPE_COUNT)
    rows = zip(shape, means, spreads, strict=True)
    return [(amount - mean) / spread * scale for amount, mean, spread in rows]


def _spread(column: Sequence[float], mean: float) -> float:
    spread = sqrt(sum((amount - mean) ** 2 for amount in column) / len(column))
    return spread if spread > SPREAD_MIN else 1.0


def _logistic(total: float) -> float:
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, total))))
