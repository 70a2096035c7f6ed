"""Whether two short answers say the same: by value where they are JSON, else by their words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Never

from models.completion import Completion
from models.decision import Answered

COMPARED_CHARS_MAX = 20_000  # longer texts never agree, and need not be looked at
_AT_THE_END = " .,;:!?"
_FENCE = "```"


def agrees(first: str, second: str) -> bool:
    """Say whether two answers are the same; an empty one agrees with nothing.

    "42.", " 42" and "42.0" are; so are {"a": 1, "b": 2} and {"b": 2, "a": 1.0}, "Yes" and "yes!",
    but not 1 and true.
    """
    if max(len(first), len(second)) > COMPARED_CHARS_MAX:
        return False
    one, other = canonical(first), canonical(second)
    return bool(one) and one == other


def contradicted(compared: Sequence[Answered], completion: Completion) -> tuple[int, ...]:
    """Return the attempts that another answer contradicts, where two were compared."""
    return tuple(
        one.attempt_no
        for one in compared
        if len(compared) > 1 and not agrees(one.completion.content, completion.content)
    )


def canonical(text: str) -> str:
    """Return the text as it is compared: white space, case and the last marks do not count."""
    bare = _unfenced(text.strip()).rstrip(_AT_THE_END)
    try:
        value = json.loads(
            bare, parse_int=Decimal, parse_float=Decimal, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        return _words(bare)
    return _words(value) if isinstance(value, str) else _by_value(value)


def _words(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(_AT_THE_END)


def _unfenced(text: str) -> str:
    """Return what a code fence holds, when the text is one."""
    if not (text.startswith(_FENCE) and text.endswith(_FENCE) and "\n" in text):
        return text
    return text.partition("\n")[2].removesuffix(_FENCE).strip()


def _by_value(value: object) -> str:
    """Return equal texts for equal JSON values: 1 and 1.0 are one number, 1 and true are not."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    if isinstance(value, dict):
        parts = sorted(f"{json.dumps(key)}:{_by_value(part)}" for key, part in value.items())
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_by_value(part) for part in value) + "]"
    return json.dumps(value)


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a JSON number")
