"""How hard a request looks: a score from fixed weights over features of its text and shape."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from models.policy import Complexity

MODERATE_MIN, COMPLEX_MIN = 1.0, 3.0
WORD_CHARS = 6  # an English word with its space


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REASONING = _word_set(
    "why prove derive design optimize optimise evaluate analyse analyze compare tradeoff trade-off"
    " trade-offs strategy consider implications assess justify weigh explain root reason reasoning"
    " argue investigate recommend critique diagnose plan alternatives thorough detailed in-depth"
    " comprehensive rigorous"
)
_STEPS = _word_set(
    "then afterwards finally first second third next step steps also ensure must should without"
    " while unless including additionally except otherwise both each"
)
_HARD = _word_set(
    "concurrency concurrent distributed race deadlock security migration migrate scalability"
    " performance consistency transactional cryptography encryption legal regulatory architecture"
    " latency throughput multi-tenant multi-region algorithm theorem statistical idempotent"
    " asynchronous async thread-safe backwards-compatible kernel compiler production memory"
    " intermittently failover sharding invariant complexity zero-downtime gdpr"
)
_EASY = _word_set(
    "quick quickly briefly brief short one-line one-liner simply just typo yes tiny trivial"
    " sentence word"
)
_REQUIREMENT = re.compile(r"^[ \t]{0,40}(?:[-*•]|\d{1,2}[.)])[ \t]{1,20}\S", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a request beside its words."""

    chars: int
    turns: int = 1
    tools: int = 0
    images: int = 0
    has_schema: bool = False


def complexity_features(text: str, words: list[str], shape: Shape) -> dict[str, float]:
    """Return what each feature adds to the score, features that add nothing left out."""
    distinct = set(words)
    fences = text.count("```") // 2
    added = {
        "length": min(2.0, 0.45 * math.log2(1 + shape.chars / WORD_CHARS / 60)),
        "code": min(1.0, 0.5 * fences),
        "requirements": min(1.5, 0.25 * len(_REQUIREMENT.findall(text))) if "\n" in text else 0.0,
        "questions": min(1.2, 0.4 * max(0, text.count("?") - 1)),
        "reasoning": min(1.6, 0.5 * len(distinct & _REASONING)),
        "steps": min(1.2, 0.25 * len(distinct & _STEPS)),
        "hard_words": min(1.5, 0.5 * len(distinct & _HARD)),
        "easy_words": max(-1.2, -0.6 * len(distinct & _EASY)),
        "turns": 0.5 if shape.turns > 4 else 0.0,
        "tools": 0.5 if shape.tools else 0.0,
        "schema": 0.3 if shape.has_schema else 0.0,
        "images": 0.5 if shape.images else 0.0,
    }
    return {name: round(amount, 3) for name, amount in added.items() if amount}


def complexity_of(score: float) -> Complexity:
    """Return simple below 1.0, complex from 3.0, moderate between."""
    if score < MODERATE_MIN:
        return Complexity.SIMPLE
    return Complexity.COMPLEX if score >= COMPLEX_MIN else Complexity.MODERATE
