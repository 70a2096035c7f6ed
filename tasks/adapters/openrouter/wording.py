"""Texts of errors: short, one line, without the key and without the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tasks.adapters.redaction import Redactor

ERROR_CHARS_MAX = 300
READ_CHARS_MAX = 2_000  # of an upstream's text that may be of any length
ECHO_CHARS = 16  # the grid on which echoes of the prompt are looked for
PROMPT_CHARS_MIN = 8  # a shorter prompt is a common word rather than a secret
PROMPT_MASK = "[prompt]"


class Wording:
    """Makes an upstream's text fit to be stored and shown."""

    def __init__(self, redact: Redactor, prompt: Callable[[], Iterable[str]] = tuple) -> None:
        self._redact, self._prompt = redact, prompt

    def __call__(self, text: str) -> str:
        """Return the text on one line, masked, at most 300 characters long."""
        line = _one_line(self._redact(text[:READ_CHARS_MAX]))
        for piece in self._prompt():
            line = _without_echo(line, _one_line(piece))
        return line if len(line) <= ERROR_CHARS_MAX else line[: ERROR_CHARS_MAX - 1] + "…"


def _one_line(text: str) -> str:
    """Blank out control characters (line breaks, ANSI escapes) and join runs of blanks."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _without_echo(line: str, prompt: str) -> str:
    """Mask what the line repeats of the prompt: all of a short one, runs of 31 of a long one.

    Looks only at every 16th place of the line, so that a prompt of megabytes is searched a few
    dozen times; a hit is then widened to both sides.
    """
    if len(prompt) < PROMPT_CHARS_MIN:
        return line
    if len(prompt) < 2 * ECHO_CHARS:
        return line.replace(prompt, PROMPT_MASK)
    start = 0
    while start + ECHO_CHARS <= len(line):
        if line[start : start + ECHO_CHARS] in prompt:
            low, high = _widened(line, prompt, start, start + ECHO_CHARS)
            line = line[:low] + PROMPT_MASK + line[high:]
            start = low + len(PROMPT_MASK)
        else:
            start += ECHO_CHARS
    return line


def _widened(line: str, prompt: str, low: int, high: int) -> tuple[int, int]:
    while low > 0 and line[low - 1 : high] in prompt:
        low -= 1
    while high < len(line) and line[low : high + 1] in prompt:
        high += 1
    return low, high
