"""JSON from outside: exact numbers, no NaN, no two answers to a question about money."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

# Two readers could see two amounts when one of these is given twice; other duplicates are
# read as the standard library does, the last one counts.
NAMES_GIVEN_ONCE = frozenset(
    {
        "choices",
        "completion_tokens",
        "cost",
        "cost_details",
        "error",
        "finish_reason",
        "is_byok",
        "prompt_tokens",
        "total_cost",
        "upstream_inference_cost",
        "usage",
    }
)


DEPTH_MAX = 64
FLOAT_MAX = Decimal("1e308")


class MalformedJson(ValueError):
    """The text is not the JSON document that was expected; the message never quotes it."""


def parse_document(data: bytes | str) -> dict[str, Any]:
    """Return the JSON object of a body, numbers with a fraction as Decimal.

    Raises MalformedJson for anything else, and for a duplicated name that matters to money.
    """
    try:
        document = json.loads(
            data,
            parse_float=_exact,
            parse_constant=_no_constant,
            object_pairs_hook=_without_doubles,
        )
    except MalformedJson:
        raise
    except (ValueError, RecursionError) as error:  # also bad UTF-8 and integers past 4300 digits
        raise MalformedJson(f"not JSON ({type(error).__name__})") from error
    if not isinstance(document, dict):
        raise MalformedJson("not a JSON object")
    return document


def _exact(literal: str) -> Decimal:
    try:
        return Decimal(literal)
    except InvalidOperation as error:
        raise MalformedJson("a number out of all bounds") from error


def _no_constant(name: str) -> None:
    raise MalformedJson(f"holds {name}")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted(name for name in NAMES_GIVEN_ONCE if names.count(name) > 1)
        if twice:
            raise MalformedJson(f"holds {', '.join(twice)} twice")
    return document


def plain_json(value: Any, *, depth: int = 0) -> Any:  # any JSON value in, any JSON value out
    """Return the value in a form that every JSON store takes.

    Decimals become floats (logprobs, scores; never money), NUL is dropped and lone surrogates are
    replaced, because PostgreSQL takes neither. Raises MalformedJson past 64 levels.
    """
    if depth > DEPTH_MAX:
        raise MalformedJson("nested too deeply")
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, Decimal):
        return float(value) if abs(value) < FLOAT_MAX else str(value)
    if isinstance(value, dict):
        return {mended(name): plain_json(item, depth=depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [plain_json(item, depth=depth + 1) for item in value]
    return value


def mended(text: str) -> str:
    """Return the text without NUL, with surrogate pairs joined and lone ones replaced."""
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
