"""The task type of a request that does not state one, inferred from its text by fixed weights."""

from __future__ import annotations

from collections.abc import Collection

from models.task_types import GENERAL
from models.type_evidence import (
    BASES,
    CODE,
    DIFF,
    LOG_LINE,
    STACK_TRACE,
    VOTES,
)

SCORE_MIN = 1.0
FRONT_WORDS, BACK_WORDS = 30, 20  # where instructions stand; what is between is mostly material
OPENING_WORDS = 4
OPENING_FACTOR, MIDDLE_FACTOR = 1.4, 0.35
SHORT_QUESTION_WORDS = 16
_QUESTION_WORDS = frozenset(
    ("what", "who", "when", "where", "which", "how", "is", "are", "can", "does", "do", "what's")
)

# What the shape of a text says, where its words leave the question open.
_STACK_VOTES = (("investigate_error", 1.4), ("fix_bug", 0.7))
_LOG_VOTES = (("analyze_logs", 1.8), ("investigate_error", 0.6))
_DIFF_VOTES = (("code_review", 2.0), ("create_pr", 1.0))
_CODE_VOTES = (
    ("explain_code", 0.6),
    ("refactor", 0.6),
    ("code_review", 0.5),
    ("fix_bug", 0.5),
    ("write_tests", 0.4),
)
_CODE_QUESTION_VOTES = (("explain_code", 0.8),)
LOG_LINES_MIN = 3


def infer_task_type(text: str, words: list[str], known: Collection[str]) -> tuple[str, float]:
    """Return the best known type and its score; `general` with 0 when nothing speaks for one.

    Every piece of evidence counts once, at its best place in the text.
    """
    scores = _word_scores(words)
    if "\n" in text or "```" in text or "Error: " in text:  # else it has no shape to speak of
        _add_shape(scores, text, asks=bool(words) and words[0] in _QUESTION_WORDS)
    best, score = GENERAL, 0.0
    for name, total in scores.items():
        if total > score and name in known:
            best, score = name, total
    return (best, round(score, 3)) if score >= SCORE_MIN else (GENERAL, 0.0)


def _word_scores(words: list[str]) -> dict[str, float]:
    scores: dict[str, float] = {}
    if _is_short_question(words):
        scores["simple_query"] = 0.8
    for key, factor in _places(words).items():
        for name, weight in VOTES[key]:
            scores[name] = scores.get(name, 0.0) + weight * factor
    return scores


def _places(words: list[str]) -> dict[str | tuple[str, str], float]:
    """Return every piece of evidence with the factor of its best place."""
    best: dict[str | tuple[str, str], float] = {}
    back = max(FRONT_WORDS, len(words) - BACK_WORDS)
    _note(best, words[:OPENING_WORDS], OPENING_FACTOR)
    _note(best, words[OPENING_WORDS - 1 : FRONT_WORDS], 1.0)
    _note(best, words[back:], 1.0)
    _note(best, words[FRONT_WORDS - 1 : back + 1], MIDDLE_FACTOR)
    return best


def _note(best: dict[str | tuple[str, str], float], words: list[str], factor: float) -> None:
    """Note the evidence of these words unless it stands in a better place already."""
    previous = None
    for base in map(BASES.get, words):
        if base is not None:
            if base in VOTES:
                best.setdefault(base, factor)
            if previous is not None and (previous, base) in VOTES:
                best.setdefault((previous, base), factor)
        previous = base


def _is_short_question(words: list[str]) -> bool:
    return 0 < len(words) <= SHORT_QUESTION_WORDS and words[0] in _QUESTION_WORDS


def _add_shape(scores: dict[str, float], text: str, *, asks: bool) -> None:
    """Add what stack traces, log lines, diffs and code speak for."""
    votes: list[tuple[str, float]] = []
    if STACK_TRACE.search(text):
        votes += _STACK_VOTES
    if len(LOG_LINE.findall(text)) >= LOG_LINES_MIN:
        votes += _LOG_VOTES
    if DIFF.search(text):
        votes += _DIFF_VOTES
    elif CODE.search(text):
        votes += _CODE_VOTES
        votes += _CODE_QUESTION_VOTES if asks else ()
    for name, weight in votes:
        scores[name] = scores.get(name, 0.0) + weight
