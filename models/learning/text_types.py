"""Task types learned from an installation's own requests: words counted by type, naive Bayes.

Optional: it stands in for the fixed rules of `models/type_inference.py` where an installation has
types of its own, or wants its own requests to decide. `infer` has the shape that
`models.classification.classify` asks for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from models.task_types import GENERAL

SMOOTHING = 0.1
# Words of one request only tell nothing about the next, and may be somebody's secret.
REQUESTS_MIN = 2


@dataclass(frozen=True, slots=True)
class LearnedTypes:
    """For each word, what it adds to the log likelihood of each type above not being seen."""

    names: tuple[str, ...]
    starts: tuple[float, ...]
    unseen: tuple[float, ...]
    words: dict[str, tuple[tuple[int, float], ...]]

    def infer(
        self, text: str, words: Sequence[str], known: Collection[str] = ()
    ) -> tuple[str, float]:
        """Return the likeliest type and by how much it leads, per known word.

        `general` when no word was ever seen, or when `known` is given and lacks the type.
        """
        found = [votes for word in set(words) if (votes := self.words.get(word)) is not None]
        if not found:
            return GENERAL, 0.0
        scores = [start + len(found) * low for start, low in zip(self.starts, self.unseen,
                                                                 strict=True)]  # fmt: skip
        for votes in found:
            for number, amount in votes:
                scores[number] += amount
        best = max(range(len(scores)), key=scores.__getitem__)
        others = [score for number, score in enumerate(scores) if number != best]
        lead = (scores[best] - max(others, default=scores[best])) / len(found)
        if known and self.names[best] not in known:
            return GENERAL, 0.0
        return self.names[best], round(lead, 3)

    def document(self) -> dict[str, Any]:
        """Return everything as a JSON document."""
        return {
            "names": list(self.names),
            "starts": list(self.starts),
            "unseen": list(self.unseen),
            "words": {word: [list(vote) for vote in votes] for word, votes in self.words.items()},
        }


def learned_types(examples: Iterable[tuple[str, Sequence[str]]]) -> LearnedTypes:
    """Return what (type, words of a request) pairs teach."""
    requests: Counter[str] = Counter()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, words in examples:
        requests[name] += 1
        for word in set(words):
            counts[word][name] += 1
    kept = {word: by for word, by in counts.items() if by.total() >= REQUESTS_MIN}
    names = tuple(sorted(requests))
    total = Counter[str]()
    for by_type in kept.values():
        total.update(by_type)
    place = {name: number for number, name in enumerate(names)}
    return LearnedTypes(
        names=names,
        starts=tuple(log(requests[name] / requests.total()) for name in names),
        unseen=tuple(log(SMOOTHING / (total[name] + SMOOTHING * len(kept))) for name in names),
        words={word: _votes(by_type, place) for word, by_type in kept.items()},
    )


def types_from(document: dict[str, Any]) -> LearnedTypes:
    """Return the learned types of a document."""
    return LearnedTypes(
        names=tuple(document["names"]),
        starts=tuple(document["starts"]),
        unseen=tuple(document["unseen"]),
        words={
            word: tuple((number, amount) for number, amount in votes)
            for word, votes in document["words"].items()
        },
    )


def _votes(by_type: Counter[str], place: dict[str, int]) -> tuple[tuple[int, float], ...]:
    found = ((place[name], log(1 + count / SMOOTHING)) for name, count in by_type.items())
    return tuple(sorted(found))
