"""What the text estimator sees of a prompt: hashed words and word pairs, and its shape."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from math import log1p
from typing import NamedTuple
from zlib import crc32

# Instructions stand at the ends, and the time of a decision must not grow with the prompt.
HEAD_CHARS, TAIL_CHARS = 2600, 1400
BUCKETS = 1 << 16
_WORD = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
_SHAPES = (
    re.compile(r"\d+"),
    re.compile(r"[=+*/^<>]"),
    re.compile(r"\\[a-z]+|\$"),
    re.compile(r"\b(?:not|except|never|least|incorrect|false)\b", re.IGNORECASE),
    re.compile(r"\b(?:statement|following|which of)\b", re.IGNORECASE),
    re.compile(r"\b(?:how (?:many|much)|calculate|compute|find|solve|prove)\b", re.IGNORECASE),
    re.compile(r"\b(?:if|then|suppose|assume|given|let)\b", re.IGNORECASE),
    re.compile(r"\b(?:each|every|per|twice|half|times|total|more than|less than)\b", re.IGNORECASE),
    re.compile(r"\b(?:percent|%|ratio|average|rate|hours?|minutes?|days?|years?|weeks?)\b"),
    re.compile(r"\b[A-Z][a-z]+"),
    re.compile(r"[,;:]"),
    re.compile(r"\?"),
    re.compile(r"\n"),
    re.compile(r"^[A-J][.)]", re.MULTILINE),
    re.compile(r"\b(?:def|return|import|class|function|assert|void|int)\b"),
    re.compile('["\u201c\u2018]'),
    re.compile(r"\b\w{10,}\b"),
)
SHAPE_COUNT = len(_SHAPES) + 4


def read_part(text: str) -> str:
    """Return the part of a prompt that is looked at, at most 4,000 characters."""
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


class Words(NamedTuple):
    """The distinct buckets of a text's words, and of its pairs of words in a row, sorted."""

    single: tuple[int, ...]
    paired: tuple[int, ...]


def hashed_words(text: str) -> Words:
    """Return the buckets of the words and word pairs of a text."""
    words = _WORD.findall(text.lower())
    return Words(_buckets(words), _buckets(map(" ".join, pairwise(words))))


def _buckets(keys: Iterable[str]) -> tuple[int, ...]:
    return tuple(sorted({crc32(key.encode("utf-8", "replace")) % BUCKETS for key in set(keys)}))


def shape_of(text: str) -> tuple[float, ...]:
    """Return the text's shape: logarithms of counts, so that length does not drown the rest."""
    words = text.split()
    chars = len(text)
    longest = max(map(len, words), default=0)
    digits = sum(map(text.count, "0123456789"))
    counts = (chars, len(words), longest, digits, *(len(s.findall(text)) for s in _SHAPES))
    return tuple(log1p(count) for count in counts)
