"""Train, dev and test: 50, 20 and 30 % by SHA-1 of the prompt's id, reshuffled by seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.routing.datasets import Case

TRAIN_BELOW, DEV_BELOW = 50, 70
TRAIN_SHARE_MIN, DEV_SHARE_MIN, TEST_SHARE_MIN = 0.3, 0.1, 0.1
TRIES = 20


class Split(NamedTuple):
    """Places of the cases in their data set."""

    train: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]


def bucket(key: str, seed: int) -> int:
    """Return 0 to 99; seed 0 is the protocol's plain `int(sha1(id)[:8], 16) % 100`."""
    salted = key if seed == 0 else f"{seed}:{key}"
    digest = hashlib.sha1(salted.encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % 100


def split(cases: Sequence[Case], seed: int) -> Split:
    """Return the split of a seed."""
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for place, case in enumerate(cases):
        number = bucket(case.key, seed)
        parts[(number >= TRAIN_BELOW) + (number >= DEV_BELOW)].append(place)
    return Split(*(tuple(part) for part in parts))


def splits_of(cases: Sequence[Case], seeds: int) -> list[Split]:
    """Return so many splits, the plain one first, those with a part that is nearly empty left out.

    A folder may hold nothing but prompts kept back, which the plain split puts into one part.
    """
    made = (split(cases, seed) for seed in range(TRIES))
    return [one for one in made if _is_usable(one, len(cases))][:seeds]


def _is_usable(one: Split, size: int) -> bool:
    shares = (TRAIN_SHARE_MIN, DEV_SHARE_MIN, TEST_SHARE_MIN)
    return all(len(part) >= share * size for part, share in zip(one, shares, strict=True))


def first_of(places: Sequence[int], cases: Sequence[Case], count: int, seed: int) -> list[int]:
    """Return so many places, chosen by a hash of their own so that no order of the file matters."""

    def rank(place: int) -> str:
        salted = f"pick {seed}:{cases[place].key}"
        return hashlib.sha1(salted.encode(), usedforsecurity=False).hexdigest()

    return sorted(places, key=rank)[:count]


def by_task(cases: Sequence[Case], seed: int) -> Split:
    """Return a split whose test tasks are never seen in training: whole tasks by their hash."""
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for place, case in enumerate(cases):
        number = bucket(f"task {case.task}", seed + 1)
        parts[(number >= TRAIN_BELOW) + (number >= DEV_BELOW)].append(place)
    return Split(*(tuple(part) for part in parts))
