"""What kind of task a prompt is, so that the simulated answer fits it."""

from __future__ import annotations

import re
from enum import StrEnum

SCANNED_CHARACTERS = 4000


class TaskKind(StrEnum):
    """Kinds of answers the simulator can write."""

    ARITHMETIC = "arithmetic"
    CHOICE = "choice"
    INVESTIGATE = "investigate"
    CODE = "code"
    SUMMARY = "summary"
    STATUS = "status"
    RESEARCH = "research"
    PLAN = "plan"
    QUERY = "query"


SUM = re.compile(r"(-?\d{1,12})\s*([-+*x])\s*(-?\d{1,12})")
CHOICES = re.compile(r"(?:one of|either|answer with|choose from)[: ]+([^.\n?]{3,120})", re.I)
WORDS: tuple[tuple[TaskKind, re.Pattern[str]], ...] = (
    (
        TaskKind.INVESTIGATE,
        re.compile(
            r"\b(investigat\w*|root cause|traceback|stack trace|why (does|is|did)|diagnos\w*)"
            r"|analy[sz]e .{0,20}logs?",
            re.I,
        ),
    ),
    (
        TaskKind.SUMMARY,
        re.compile(r"\b(summar\w+|tl;?dr|condense|shorten|in (one|two|three) sentences?)\b", re.I),
    ),
    (
        TaskKind.CODE,
        re.compile(
            r"```|\b(fix|implement|refactor|write an? \w* ?(function|script|test)|function"
            r"|bug|deploy|code|unit tests?|regex|sql)\b",
            re.I,
        ),
    ),
    (
        TaskKind.STATUS,
        re.compile(
            r"\b(status|healthy?|is .{1,40} (up|down|running)|uptime|check whether)\b", re.I
        ),
    ),
    (
        TaskKind.RESEARCH,
        re.compile(
            r"\b(research|compare|trade-?offs?|survey|pros and cons|in depth|evaluate)\b", re.I
        ),
    ),
    (TaskKind.PLAN, re.compile(r"\b(plan|steps|roadmap|migrat\w+|design|architect\w*)\b", re.I)),
)


def task_kind(prompt: str) -> TaskKind:
    """Return the kind of the first words that tell, in order of how much they tell."""
    scanned = prompt[:SCANNED_CHARACTERS]
    if len(scanned) < 200 and SUM.search(scanned):
        return TaskKind.ARITHMETIC
    if CHOICES.search(scanned):
        return TaskKind.CHOICE
    for kind, pattern in WORDS:
        if pattern.search(scanned):
            return kind
    return TaskKind.QUERY
